"""The header of a message, as far as a store needs it: what tells the message from others.

Pure; run by a worker as the mailbox's user. POP3 needs no more of a header than its end, the
X-UIDL that an earlier server may have left in it, and a digest by which the message is found again
when other programs have changed the spool around it. The digest is over the From_ line, the header
without the fields that mail programs change in place, and the length of the rest; the body itself
is not read for it.
"""

from __future__ import annotations

import re
from _blake2 import blake2b  # hashlib loads OpenSSL, and that makes a worker's fork a fifth slower
from typing import Final

from preforkpop.maildrop import uidl

LIMIT: Final = 65536
"""Octets of a message that may be its header; the rest of a longer one counts as body.

Bounds what a scan reads twice. Sendmail and Postfix take headers of 32 kB and 100 kB in all."""

DIGEST: Final = 16
"""Octets of a digest. Equal digests are told apart by their ordinal, so that whoever could make two
messages with the same one would gain nothing."""

_VALUE: Final = rb"[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*"
_mutable: Final = re.compile(
    rb"\n[SsXxCcLl](?i:tatus|-Status|-Keywords|-UIDL|-UID|-IMAP|-IMAPbase|ontent-Length|ines)"
    + _VALUE
)
"""Status, X-Status, X-Keywords, X-UIDL, X-UID, X-IMAP, X-IMAPbase, Content-Length and Lines; the
first letter apart, as it decides for most lines."""

_blank_line: Final = re.compile(rb"\n(?:\n|\r\n)").search
_claims: Final = re.compile(rb"\n(?i:X-UIDL)[ \t]*:([^\n]*)").finditer


def end(octets: bytes, start: int, stop: int) -> int:
    """The offset behind the header lines that begin at ``start``: that of the blank line.

    Without one before ``stop``, or within LIMIT, that is where the header ends. A line that holds
    nothing but a CR is blank too.
    """
    if octets.startswith((b"\n", b"\r\n"), start, stop):
        return start
    stop = min(stop, start + LIMIT)
    blank = _blank_line(octets, start, stop)
    return blank.start() + 1 if blank else stop


def identify(lines: bytes, rest: int) -> tuple[bytes, bytes | None]:
    """The digest of a message and the unique-id that it claims by X-UIDL, if it claims one.

    ``lines`` are the From_ line and the header lines, ``rest`` is how many octets follow. Only the
    first X-UIDL that the protocol allows counts.
    """
    if _mutable.search(lines) is None:
        return _digest(lines, rest), None
    values = (uidl.acceptable(found[1]) for found in _claims(lines))
    claim = next((value for value in values if value is not None), None)
    return _digest(_mutable.sub(b"", lines), rest), claim


def _digest(lines: bytes, rest: int) -> bytes:
    return blake2b(b"%b%d" % (lines, rest), digest_size=DIGEST).digest()
