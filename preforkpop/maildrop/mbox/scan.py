"""Finding the messages in an mbox, with operations on whole blocks, never line by line.

Pure (the octets come from a function that is passed in); run by a worker as the mailbox's user. A
block is searched for From_ lines by one regular expression and LFs are counted by ``bytes.count``,
so a scan runs at the speed of those two. Memory is one block, however large file or message are.

What belongs to what: a message is what lies between its From_ line and the blank line in front of
the next one. That one blank line belongs to the mbox, as delivery agents write it, at the end of
the file too. A message may end within its header, have no octets at all, or lack the last LF at
the end of the file. Together the messages, their From_ lines and those blank lines are the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from preforkpop.maildrop.mbox import header
from preforkpop.maildrop.mbox.separator import MAXIMUM_LINE, is_separator

BLOCK: Final = 524288
"""Octets looked at together: few enough for the processor's cache, which three passes go over."""

Read = Callable[[int, int], bytes]
"""``read(offset, size)`` gives the octets at ``offset``; fewer than ``size`` only at the end."""

_boundaries: Final = re.compile(rb"\n\nFrom ").finditer
_FROM_AT: Final = 2  # offset of the From_ line in what that finds
_OVERLAP: Final = 6  # octets of a boundary that may end one block with the rest in the next


class NotMbox(Exception):  # noqa: N818 - what the file is
    """The first line is no From_ line."""


class Shrunk(Exception):  # noqa: N818
    """The file ends before the place where it ended when the scan began."""


class Scanned(NamedTuple):
    """One message as it lies in the file."""

    offset: int  # of its From_ line
    separator: int  # octets of the From_ line with its LF; the message begins behind it
    length: int  # stored octets of the message
    octets: int  # as transmitted, with CRLF line ends and a last one
    digest: bytes
    claim: bytes | None  # unique-id from X-UIDL


class _Message(NamedTuple):
    """A message whose end has not been seen yet; offsets are those of the file."""

    offset: int
    content: int  # where the From_ line ends
    lines: bytes  # From_ line and header

    def ended(self, end: int, line_feeds: int, *, complete: bool) -> Scanned:
        """The message that ends at ``end``; ``complete`` says that its last line has its LF."""
        length = end - self.content
        separator = self.content - self.offset
        digest, claim = identify(self.lines, separator + length, complete=complete)
        octets = length + line_feeds + 2 * (length > 0 and not complete)
        return Scanned(self.offset, separator, length, octets, digest, claim)


class _LineFeeds:
    """Counts LFs in the way that is quicker for lines as long as those before.

    ``bytes.replace`` goes from LF to LF by memchr and makes a copy, ``bytes.count`` looks at each
    octet: for base64 the first takes half the time, for lines of ten octets four times as much.
    """

    __slots__ = ("_long",)

    _SHORT: Final = 40  # octets of a line where both take the same time

    def __init__(self) -> None:
        self._long = True

    def count(self, block: bytes, start: int, end: int) -> int:
        """How many LFs there are from ``start`` to ``end``."""
        if self._long:
            octets = block[start:end]
            found = len(octets.replace(b"\n", b"\r\n")) - len(octets)
        else:
            found = block.count(b"\n", start, end)
        self._long = found * self._SHORT <= end - start
        return found


def identify(lines: bytes, octets: int, *, complete: bool) -> tuple[bytes, bytes | None]:
    """Digest and claim of a message: its From_ line and header, and the octets of all of it.

    They do not change when a missing last LF is added, as the next delivery does.
    """
    if len(lines) == octets:
        return header.identify(lines if complete else lines + b"\n", 0)
    return header.identify(lines, octets - len(lines) + (not complete))


def scan(read: Read, start: int, end: int, block_size: int = BLOCK) -> Iterator[Scanned]:
    """Give the messages in the octets from ``start`` to ``end``, the first of which begin one.

    One long function: what a block leaves to the next (where it begins, the message that is open,
    the LFs counted so far and up to where) is all of its state.
    """
    if start == end:
        return
    position = start  # where the next block begins
    message = _first(read, start, end)
    counted, line_feeds = message.content, 0
    count = _LineFeeds().count
    while True:
        block = _exactly(read, position, min(block_size, end - position))
        last = position + len(block) == end
        next_position = position + len(block) - _OVERLAP
        for found in _boundaries(block):
            at = found.start() + _FROM_AT
            line_end = block.find(b"\n", at, at + MAXIMUM_LINE)
            if line_end < 0:
                if len(block) - at >= MAXIMUM_LINE:
                    continue  # over-long: no From_ line
                if not last:
                    next_position = position + at - _FROM_AT  # the line ends in the next block
                    break
                line_end = len(block)
            if not is_separator(block[at:line_end]):
                continue
            content_end = at - 1  # behind the LF of the line in front of the blank one
            line_feeds += count(block, counted - position, content_end)
            yield message.ended(position + content_end, line_feeds, complete=True)
            message = _begun(read, block, position, at, line_end, end)
            counted, line_feeds = message.content, 0
        if last:
            break
        if next_position > counted:
            line_feeds += count(block, counted - position, next_position - position)
            counted = next_position
        position = next_position
    line_feeds += count(block, counted - position, len(block))
    if end > message.content and block.endswith(b"\n\n"):
        yield message.ended(end - 1, line_feeds - 1, complete=True)
    else:
        yield message.ended(end, line_feeds, complete=block.endswith(b"\n"))


def _first(read: Read, start: int, end: int) -> _Message:
    """The message that begins at ``start``."""
    octets = _exactly(read, start, min(MAXIMUM_LINE, end - start))
    line_end = octets.find(b"\n")
    if not is_separator(octets if line_end < 0 else octets[:line_end]):
        raise NotMbox
    return _begun_across(read, start, start + (line_end + 1 or len(octets)), end)


def _begun(read: Read, block: bytes, base: int, at: int, line_end: int, end: int) -> _Message:
    """The message whose From_ line lies from ``at`` to ``line_end`` in a block at ``base``."""
    content = min(line_end + 1, len(block))
    lines_end = header.end(block, content, len(block))
    if lines_end == len(block) and base + len(block) < end:
        return _begun_across(read, base + at, base + content, end)
    return _Message(base + at, base + content, block[at:lines_end])


def _begun_across(read: Read, offset: int, content: int, end: int) -> _Message:
    """The message whose header may go on behind a block: read it on its own."""
    octets = _exactly(read, offset, min(content + header.LIMIT, end) - offset)
    lines_end = header.end(octets, content - offset, len(octets))
    return _Message(offset, content, octets[:lines_end])


def _exactly(read: Read, offset: int, size: int) -> bytes:
    octets = read(offset, size)
    if len(octets) < size:
        raise Shrunk
    return octets
