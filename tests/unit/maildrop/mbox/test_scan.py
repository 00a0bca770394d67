"""Finding messages in any octets."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preforkpop.maildrop.mbox import scan as scan_module
from preforkpop.maildrop.mbox.header import LIMIT
from preforkpop.maildrop.mbox.scan import BLOCK, NotMbox, Scanned, Shrunk, scan
from tests.unit.maildrop.mbox.helpers import (
    FROM,
    fragments,
    join,
    messages,
    parse,
    transmitted_octets,
)

SMALL = 1200  # octets of a block; more than a From_ line


def found_in(octets: bytes, block: int = BLOCK, start: int = 0) -> list[Scanned]:
    def read(offset: int, size: int) -> bytes:
        assert offset >= start
        return octets[offset : offset + size]

    return list(scan(read, start, len(octets), block))


def content(octets: bytes, one: Scanned) -> bytes:
    begin = one.offset + one.separator
    return octets[begin : begin + one.length]


def test_nothing_in_an_empty_file() -> None:
    assert found_in(b"") == []


@pytest.mark.parametrize(
    "octets",
    [
        b"\n",
        b"\n" + FROM,
        b"rom alice@example.org Wed Dec  2 05:53:22 1992\n",
        b"From alice@example.org\n",
        b"From alice@example.org Wed Dec  2 05:53:22 1992\r\nA: b\r\n\r\n",
        b"\x01\x01\x01\x01\n",
        b"\0" * 5000,
        b"x",
    ],
)
def test_a_first_line_that_is_no_separator_is_refused(octets: bytes) -> None:
    with pytest.raises(NotMbox):
        found_in(octets)


@pytest.mark.parametrize(
    ("octets", "contents"),
    [
        (FROM, [b""]),
        (FROM[:-1], [b""]),
        (FROM + b"\n", [b""]),
        (FROM + b"\n\n", [b"\n"]),
        (FROM + b"A: b", [b"A: b"]),
        (FROM + b"A: b\n", [b"A: b\n"]),
        (FROM + b"A: b\n\n", [b"A: b\n"]),
        (FROM + b"A: b\n\n\n", [b"A: b\n\n"]),
        (FROM + b"A: b\n\nbody", [b"A: b\n\nbody"]),
        (FROM + b"\n" + FROM + b"\n", [b"", b""]),
        (FROM + b"\n" + FROM + b"\n" + FROM, [b"", b"", b""]),
        (FROM + b"A: b\n\n" + FROM + b"C: d\n\n", [b"A: b\n", b"C: d\n"]),
        # without a blank line in front of it, it is a line like any other
        (FROM + FROM + b"\n", [FROM]),
        (FROM + b"A: b\n" + FROM + b"C: d\n\nx\n\n", [b"A: b\n" + FROM + b"C: d\n\nx\n"]),
        (FROM + b"A: b\n\nx\n" + FROM + b"\n", [b"A: b\n\nx\n" + FROM]),
        (FROM + b"A: b\n\r\n" + FROM + b"\n", [b"A: b\n\r\n" + FROM]),
        # the blank line that ends the header is one
        (FROM + b"A: b\n\n" + FROM + b"x\n", [b"A: b\n", b"x\n"]),
        # no date
        (FROM + b"A: b\n\nFrom now on\n\n", [b"A: b\n\nFrom now on\n"]),
        (FROM + b"\n\n\n\n" + FROM, [b"\n\n\n", b""]),
    ],
)
def test_where_messages_begin_and_end(octets: bytes, contents: list[bytes]) -> None:
    found = found_in(octets)
    assert [content(octets, one) for one in found] == contents
    assert [one.octets for one in found] == [transmitted_octets(one) for one in contents]


def test_an_over_long_line_neither_makes_nor_hides_a_separator() -> None:
    """A reader with a buffer of 1,023 octets takes what follows the buffer for a line."""
    for length in (1018, 1022, 1023, 1024, 2046, 1_000_000):
        fake = b"A: b\n\n" + b"x" * length + FROM + b"\n" + b"x" * length + b"\n" + FROM + b"\n"
        assert len(found_in(FROM + fake)) == 1
        assert len(found_in(FROM + b"A: b\n\n" + b"x" * length + b"\n\n" + FROM + b"\n")) == 2


def test_an_over_long_from_line_is_a_line_of_the_message_before() -> None:
    long = FROM.replace(b"alice", b"a" * 1000)
    octets = join([b"A: b\n\nx\n"]) + long + b"C: d\n\n" + join([b"E: f\n"])
    assert len(found_in(octets)) == 2
    with pytest.raises(NotMbox):
        found_in(long)


@given(st.lists(messages, max_size=6))
def test_what_is_joined_is_split_again(stored: list[bytes]) -> None:
    octets = join(stored)
    found = found_in(octets)
    assert [content(octets, one) for one in found] == stored
    assert [one.octets for one in found] == [transmitted_octets(one) for one in stored]


@given(st.lists(messages, min_size=1, max_size=6))
def test_a_last_message_without_its_blank_line_or_line_end_is_the_same_message(
    stored: list[bytes],
) -> None:
    whole = join([*stored[:-1], stored[-1] + b"end\n"])
    found = found_in(whole)
    for cut in (1, 2):
        shorter = found_in(whole[:-cut])
        assert [one.octets for one in shorter] == [one.octets for one in found]
        assert [one.digest for one in shorter] == [one.digest for one in found]


@given(fragments | st.binary(max_size=200).map(FROM.__add__), st.integers(SMALL, 2 * SMALL))
@example(FROM + b"A: b\n\n" + FROM + b"\n" * 1100 + FROM, SMALL)
def test_any_octets_are_refused_or_add_up(octets: bytes, block: int) -> None:
    expected = parse(octets)
    if expected is None:
        with pytest.raises(NotMbox):
            found_in(octets, block)
        return
    found = found_in(octets, block)
    contents = [content(octets, one) for one in found]
    assert contents == [one.content for one in expected]
    assert [one.octets for one in found] == [transmitted_octets(one) for one in contents]
    position = 0
    for one in found:
        assert one.offset - position in (0, 1)
        assert octets[position : one.offset] in (b"", b"\n")
        position = one.offset + one.separator + one.length
    assert octets[position:] in (b"", b"\n")
    assert found == found_in(octets), "the size of a block makes no difference"


@given(fragments.map(FROM.__add__))
def test_a_scan_can_begin_at_any_message(octets: bytes) -> None:
    found = found_in(octets, SMALL)
    for place, one in enumerate(found):
        assert found_in(octets, SMALL, one.offset) == found[place:]


def test_every_offset_of_a_boundary_within_a_block() -> None:
    for shift in range(SMALL + 20):
        stored = [b"A: b\n\n" + b"x" * shift + b"\n", b"C: d\n\ny\n"]
        octets = join(stored) + b"z" * 4 * SMALL
        found = found_in(octets, SMALL)
        assert [content(octets, one) for one in found] == [
            stored[0],
            stored[1] + b"\n" + b"z" * 4 * SMALL,
        ]


@pytest.mark.parametrize("size", [LIMIT - 100, LIMIT, LIMIT + 100, 3 * BLOCK])
def test_a_header_that_goes_on_in_other_blocks(size: int) -> None:
    head = b"X-UIDL: abc\n" + b"A: bcdefgh\n" * (size // 11)
    octets = join([b"A: b\n\n" + b"x" * (BLOCK - 200) + b"\n", head + b"\nbody\n", b"E: f\n"])
    found = found_in(octets)
    assert [one.claim for one in found] == [None, b"abc", None]
    assert found == found_in(octets, SMALL)


def test_a_file_that_shrinks_during_the_scan() -> None:
    octets = join([b"A: b\n\nx\n"])
    with pytest.raises(Shrunk):
        list(scan(lambda offset, size: octets[offset : offset + size], 0, len(octets) + 1))


def test_memory_is_bounded_by_the_block() -> None:
    size = 200_000_000
    front = FROM + b"A: b\n\n"

    def read(offset: int, wanted: int) -> bytes:
        wanted = min(wanted, size - offset)
        return front + b"x" * (wanted - len(front)) if not offset else b"x" * wanted

    tracemalloc.start()
    found = list(scan(read, 0, size))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [one.length for one in found] == [size - len(FROM)]
    assert peak < 4 * scan_module.BLOCK
