"""What the name of a message file in a Maildir says. Pure: no I/O.

A name is ``UNIQUE[,FIELD=VALUE]...[:2,FLAGS]``, UNIQUE beginning with the time of delivery. The
part before the colon stays when a program moves the message from new/ to cur/ or changes its
flags. ``,S=`` (octets of the file) and ``,W=`` (octets with CRLF) are Maildir++ and Dovecot's; they
are not part of the unique-id, because Dovecot renames a file whose size they state wrongly, and
other programs add them later.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from preforkpop.maildrop import uidl

_sizes = re.compile(rb"(?:,[SW]=\d+)+$")
_virtual_size = re.compile(rb",W=(\d{1,18})(?=,|$)").search
_file_size = re.compile(rb",S=(\d{1,18})(?=,|$)").search
_time = re.compile(rb"\d+").match


def base(name: bytes) -> bytes:
    """The part that stays when flags change."""
    return name.partition(b":")[0]


def seen(name: bytes) -> bytes:
    """The name with the flag S; flags are in alphabetical order."""
    stable, _, information = name.partition(b":")
    flags = information[2:] if information.startswith(b"2,") else b""
    return stable + b":2," + bytes(sorted({*flags, *b"S"}))


def unique(name: bytes) -> bytes:
    """The part that stays when flags change and sizes are added or mended."""
    return _sizes.sub(b"", base(name))


def order(name: bytes) -> tuple[int, bytes, bytes]:
    """Sort key: time of delivery, then the name, as far as it does not change."""
    time = _time(name)
    return (int(time[0]) if time else 0, unique(name), base(name))


def stated_octets(name: bytes, size: int) -> int | None:
    """Octets with CRLF as ``,W=`` states them, if that can be true of a file of ``size`` octets.

    A name whose ``,S=`` is wrong belongs to a file that somebody has changed: nothing in it counts.
    A file without any line end, or with all its lines ended by CRLF, is stated as its own size;
    neither is what we send, so that is not believed.
    """
    stable = base(name)
    stated = _virtual_size(stable)
    if stated is None:
        return None
    file_size = _file_size(stable)
    if file_size is not None and int(file_size[1]) != size:
        return None
    octets = int(stated[1])
    return octets if size < octets <= 2 * size else None


def unique_id(name: bytes) -> bytes:
    """The unique-id: the unique part itself where the protocol allows it, else its digest."""
    part = unique(name)
    return uidl.acceptable(part) or uidl.from_digest(_digest(part), 0)


def other_unique_id(name: bytes, ordinal: int) -> bytes:
    """One more unique-id for a file whose unique part another message has, which only a careless
    copy makes: the digest of more of its name."""
    return uidl.from_digest(_digest(base(name)), ordinal)


def _digest(part: bytes) -> bytes:
    return blake2b(part, digest_size=16).digest()
