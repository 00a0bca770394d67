"""Octets on the wire: command lines in, multi-line responses out (RFC 1939 section 3).

Run by login processes (command lines) and by workers (both), without privilege or as the mailbox's
user. Messages are handled with operations on whole buffers, never line by line: a message of 60 kB
costs four passes of memchr and memcpy speed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final, Literal

MAXIMUM_LINE: Final = 512
"""Octets of a command line with its end. RFC 2449 section 4 asks for 255; Qpopper took 1,023."""

MAXIMUM_EXCHANGE_LINE: Final = 12288
"""Octets of a client's line within an AUTH exchange (RFC 5034 section 4, RFC 4954 likewise)."""

TERMINATION: Final = b".\r\n"

JOINED: Final = 16384
"""Octets up to which pieces are made one buffer; copying more costs more than another buffer."""


class Overlong(Enum):
    """What LineBuffer gives in place of a line that is longer than the limit."""

    OVERLONG = "overlong"


OVERLONG: Final[Literal[Overlong.OVERLONG]] = Overlong.OVERLONG


class LineBuffer:
    """Cuts what a client sends into lines, in memory bounded by the limit and one ``feed``.

    A line ends at LF, with or without CR before it; NUL and a CR elsewhere are octets like any
    other. A line that has no LF within the limit is reported as OVERLONG at once, once, and
    discarded up to its real end, so that no part of it is ever taken for a command.
    """

    __slots__ = ("_data", "_position", "_skipping")

    def __init__(self, data: bytes = b"") -> None:
        self._data = data
        self._position = 0
        self._skipping = False

    def feed(self, data: bytes) -> None:
        """Add octets; what was taken is dropped here, so taking a line copies that line only."""
        self._data = self._data[self._position :] + data
        self._position = 0

    def next_line(self, limit: int = MAXIMUM_LINE) -> bytes | Overlong | None:
        """Give the next line without its end, OVERLONG, or None when no line is complete."""
        if self._skipping and not self._skip():
            return None
        start = self._position
        end = self._data.find(b"\n", start, start + limit)
        if end < 0:
            return self._unfinished(limit)
        self._position = end + 1
        if end > start and self._data[end - 1] == 0x0D:
            end -= 1
        return self._data[start:end]

    def rest(self) -> bytes:
        """Take everything that is unread, to hand it on."""
        rest = self._data[self._position :]
        self.clear()
        return rest

    def clear(self) -> None:
        """Throw away everything that is unread, and the memory of an over-long line."""
        self._data = b""
        self._position = 0
        self._skipping = False

    @property
    def idle(self) -> bool:
        """True when nothing is unread and no over-long line is being discarded."""
        return not self._skipping and self._position == len(self._data)

    def _unfinished(self, limit: int) -> Overlong | None:
        if len(self._data) - self._position < limit:
            return None
        self._skipping = True
        self._skip()
        return OVERLONG

    def _skip(self) -> bool:
        """Discard up to the end of the over-long line; False when the end has not come yet."""
        end = self._data.find(b"\n", self._position)
        if end < 0:
            self._data = b""
            self._position = 0
            return False
        self._position = end + 1
        self._skipping = False
        return True


_search_dot_line = re.compile(rb"\n\.").search  # three times as fast as bytes.find for two octets


def _transmitted(stored: bytes) -> bytes:
    """Give every LF a CR and double every dot behind an LF; the buffer's first octet is not judged.

    Two memchr look-ups leave only the part between the first and the last dot to be searched for
    a line that begins with one: most of a message is base64, which has no dots.
    """
    crlf = stored.replace(b"\n", b"\r\n")
    first = stored.find(b".", 1)
    if first > 0 and _search_dot_line(stored, first - 1, stored.rfind(b".") + 1):
        return crlf.replace(b"\r\n.", b"\r\n..")
    return crlf


def encode(chunks: Iterable[bytes], status: bytes = b"") -> Iterator[bytes]:
    """Turn stored octets (lines end LF) into a multi-line response (RFC 1939 section 3).

    Every LF becomes CRLF (a CR before it is data and stays), a dot at the start of a line is
    doubled, a missing last line end is added. ``status``, a complete status line, goes in front,
    the termination octet and CRLF behind: a small message that comes in one chunk leaves in one
    buffer. One chunk is held back, so an error that ``chunks`` raises before its second one is seen
    before anything was given out.
    """
    parts = [status]
    begun = False  # ``parts`` hold octets of the message, not the status line alone
    line_start = True
    for chunk in chunks:
        if not chunk:
            continue
        if begun:
            yield from _buffers(parts)
            parts = []
        if line_start and chunk[0] == 0x2E:
            parts.append(b".")
        parts.append(_transmitted(chunk))
        line_start = chunk[-1] == 0x0A
        begun = True
    parts.append(TERMINATION if line_start else b"\r\n" + TERMINATION)
    yield from _buffers(parts)


def _buffers(parts: list[bytes]) -> Iterable[bytes]:
    """One buffer of small pieces, large ones as they are."""
    return parts if sum(map(len, parts)) > JOINED else (b"".join(parts),)


def top(chunks: Iterable[bytes], lines: int) -> Iterator[bytes]:
    """Cut stored octets behind the header, the blank line and ``lines`` lines (RFC 1939, TOP).

    A line that holds nothing but a CR counts as blank too: spools written by careless programs
    have CRLF ends. Stops reading ``chunks`` where the cut is.
    """
    in_header = True
    tail = b"\n"  # the last two octets so far; a message that begins with LF has an empty header
    for chunk in chunks:
        body = 0
        if in_header:
            window = tail + chunk
            end = _header_end(window)
            if end < 0:
                tail = window[-2:]
                yield chunk
                continue
            in_header = False
            body = end - len(tail)
        cut, lines = _after_lines(chunk, body, lines)
        if cut >= 0:
            yield chunk[:cut]
            return
        yield chunk


def _header_end(window: bytes) -> int:
    """Find the offset behind the first blank line, or -1."""
    end = window.find(b"\n\n")
    crlf = window.find(b"\n\r\n", 0, len(window) if end < 0 else end + 1)
    if crlf >= 0:
        return crlf + 3
    return end + 2 if end >= 0 else -1


def _after_lines(chunk: bytes, start: int, lines: int) -> tuple[int, int]:
    """Find the offset behind ``lines`` lines from ``start``, or -1 with the lines still to come."""
    held = chunk.count(b"\n", start)
    if held < lines:
        return -1, lines - held
    for _ in range(lines):
        start = chunk.find(b"\n", start) + 1
    return start, 0
