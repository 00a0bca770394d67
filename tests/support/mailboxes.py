"""Messages that have troubled POP3 servers, and the stores that tests put them into and read back.

What is stored has lines that end in LF; what a client gets has CRLF (``transmitted``).
"""

from __future__ import annotations

import base64
import itertools
import os
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

FROM_LINE = b"From sender@example.org Sat Nov  7 10:00:00 2026\n"

_deliveries = itertools.count()
"""No name is given to a file of a Maildir twice."""

_SEPARATOR = re.compile(
    rb"^From [^\n]* \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}(?: [^\n]*)?\n", re.MULTILINE
)


def message(subject: str, body: bytes = b"text\n") -> bytes:
    """A message with a usual header."""
    name = re.sub(r"\W", "-", subject)
    return (
        b"From: Sender <sender@example.org>\n"
        b"To: someone@example.org\n"
        b"Subject: %b\n"
        b"Message-ID: <%b@example.org>\n"
        b"Date: Sat, 07 Nov 2026 10:00:00 +0000\n"
        b"\n%b" % (subject.encode(), name.encode(), body)
    )


def with_attachment(subject: str, size: int) -> bytes:
    """A message with a file of so many random octets."""
    file = base64.encodebytes(random.Random(subject).randbytes(size))
    return (
        b"From: sender@example.org\nSubject: %b\nMIME-Version: 1.0\n"
        b'Content-Type: multipart/mixed; boundary="=-=-="\n\n'
        b"--=-=-=\nContent-Type: text/plain\n\nSee the file.\n"
        b"--=-=-=\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n"
        b"%b--=-=-=--\n" % (subject.encode(), file)
    )


def varied() -> list[bytes]:
    """One of each kind that ordinary clients and delivery agents can handle."""
    return [
        message("plain"),
        message("dots", b".\n..\n...\n.hidden\nend.\n.\n"),
        message("a dot and no more", b"."),
        message("from", b"One.\n\nFrom here on it goes on.\nFrom there too.\n>From before.\n"),
        message(
            "8-bit", "Grüße, naïve café, 日本語\n".encode() + bytes(range(0xA0, 0x100)) + b"\n"
        ),
        message("no final line feed", b"the end"),
        message("long lines", b"x" * 998 + b"\n" + b"y " * 1000 + b"\n"),
        message("empty body", b""),
        message("blank lines", b"\n\none\n\n\n\ntwo\n\n\n"),
        message("blanks at the end", b"one  \ntwo\t\n   \n"),
        with_attachment("attachment", 70_000),
        with_attachment("large", 1_000_000),
        message("twins"),
        message("twins"),
    ]


def awkward() -> list[bytes]:
    """Kinds that ordinary clients or agents change on their own, to be fetched octet by octet."""
    return [
        message("carriage returns", b"one\rtwo\r\nthree\n\r\nfour\r\r\n"),
        message("NUL", b"a\0b\n\0\n"),
        message("controls", bytes(range(1, 10)) + bytes(range(14, 32)) + b"\x7f\n"),
        b"Subject: a header alone\n",
        b"Subject: no blank line at its end",
        b"\nno header\n",
        message("very long lines", b"y" * 5000 + b"\n" + b"." * 300_000 + b"\n." + b"z " * 40_000),
    ]


def numbered(count: int, prefix: str = "message", size: int = 200) -> list[bytes]:
    """So many messages, each with a token of its own in its subject: see ``token``."""
    line = b"0123456789" * 6 + b"\n"
    body = line * max(1, size // len(line))
    return [message(f"token={prefix}-{number}", body) for number in range(count)]


def token(octets: bytes) -> str:
    """The token of a message of ``numbered``, stored or transmitted."""
    found = re.findall(rb"^Subject: token=(\S+)\r?$", octets, re.MULTILINE)
    assert len(found) == 1, f"a message with {len(found)} tokens: {octets[:300]!r}"
    return str(found[0].decode())


def transmitted(stored: bytes) -> bytes:
    """A stored message as a client gets it: LF becomes CRLF, and the last line has one."""
    ended = stored if not stored or stored.endswith(b"\n") else stored + b"\n"
    return ended.replace(b"\n", b"\r\n")


# ---------------------------------------------------------------------- stores


def write_mbox(path: Path, messages: Iterable[bytes], owner: tuple[int, int]) -> None:
    """A new mbox, as a delivery agent leaves it."""
    pieces = [FROM_LINE + quoted(one).removesuffix(b"\n") + b"\n\n" for one in messages]
    path.write_bytes(b"".join(pieces))
    os.chown(path, *owner)
    path.chmod(0o660)


def quoted(octets: bytes) -> bytes:
    """A message whose lines that begin "From " are quoted for an mbox."""
    return re.sub(rb"^From ", b">From ", octets, flags=re.MULTILINE)


def read_mbox(path: Path) -> list[bytes]:
    """The messages of an mbox whose bodies are quoted."""
    octets = path.read_bytes()
    if not octets:
        return []
    starts = [
        match
        for match in _SEPARATOR.finditer(octets)
        if match.start() == 0 or octets.endswith(b"\n\n", 0, match.start())
    ]
    assert starts and starts[0].start() == 0, f"no From_ line in front: {octets[:200]!r}"
    ends = [match.start() for match in starts[1:]] + [len(octets)]
    found = [octets[match.end() : end] for match, end in zip(starts, ends, strict=True)]
    return [one.removesuffix(b"\n") if one.endswith(b"\n\n") else one for one in found]


def make_maildir(path: Path, owner: tuple[int, int]) -> None:
    """An empty Maildir."""
    for directory in (path, *(path / name for name in ("tmp", "new", "cur"))):
        directory.mkdir(mode=0o700)
        os.chown(directory, *owner)


def write_maildir(path: Path, messages: Sequence[bytes], owner: tuple[int, int]) -> None:
    """Put messages into ``new`` of a Maildir that is made if there is none, in their order."""
    if not path.exists():
        make_maildir(path, owner)
    for octets in messages:
        number = next(_deliveries)
        file = path / "tmp" / f"{1_700_000_000 + number}.M{number}P1.example"
        file.write_bytes(octets)
        os.chown(file, *owner)
        file.chmod(0o600)
        file.rename(path / "new" / file.name)


def read_maildir(path: Path) -> list[bytes]:
    """The messages of a Maildir, the oldest first."""
    files = [file for name in ("new", "cur") for file in (path / name).iterdir()]
    return [file.read_bytes() for file in sorted(files, key=lambda one: one.name)]
