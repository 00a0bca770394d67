"""Lines in and multi-line responses out."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.pop3.wire import MAXIMUM_EXCHANGE_LINE, OVERLONG, LineBuffer, Overlong, encode, top


def lines_of(buffer: LineBuffer, limit: int = 512) -> list[bytes | Overlong]:
    lines = []
    while (line := buffer.next_line(limit)) is not None:
        lines.append(line)
    return lines


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    """Octets in pieces, some of them empty."""
    ends = sorted(min(place, len(octets)) for place in places)
    return [octets[a:b] for a, b in zip([0, *ends], [*ends, len(octets)], strict=True)]


def reference_encode(stored: bytes) -> bytes:
    """RFC 1939 section 3, line by line."""
    lines = stored.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    stuffed = [b"." + line if line.startswith(b".") else line for line in lines]
    return b"".join(line + b"\r\n" for line in stuffed) + b".\r\n"


def decode(transmitted: bytes) -> bytes:
    """What a client makes of a multi-line response."""
    assert transmitted.endswith(b".\r\n")
    lines = transmitted[:-3].split(b"\r\n")
    assert lines.pop() == b""
    assert b"." not in lines
    return b"".join(line.removeprefix(b".") + b"\n" for line in lines)


def reference_top(stored: bytes, lines: int) -> bytes:
    """TOP, line by line."""
    kept = []
    left: int | None = None
    for line in split_lf(stored):
        if left == 0:
            break
        kept.append(line)
        if left is not None:
            left -= 1
        elif line in (b"\n", b"\r\n"):
            left = lines
    return b"".join(kept)


def split_lf(octets: bytes) -> list[bytes]:
    return [line + b"\n" for line in octets.split(b"\n")[:-1]] + [
        line for line in octets.split(b"\n")[-1:] if line
    ]


mail = st.lists(
    st.sampled_from([b"\n", b".", b"\r", b"..", b"\r\n", b"\n.", b"\n\n", b"a", b"\0", b"\xff"]),
    max_size=40,
).map(b"".join)
places = st.lists(st.integers(0, 60), max_size=6)


class TestLineBuffer:
    def test_lines_end_with_crlf_or_lf(self) -> None:
        assert lines_of(LineBuffer(b"a\r\nb\n\r\n\nc")) == [b"a", b"b", b"", b""]

    def test_nul_and_lone_cr_are_octets_like_any_other(self) -> None:
        assert lines_of(LineBuffer(b"a\0b\rc\r\r\n\r")) == [b"a\0b\rc\r"]

    def test_a_line_of_512_octets_with_its_end_is_taken_and_one_more_is_not(self) -> None:
        assert lines_of(LineBuffer(b"x" * 510 + b"\r\n")) == [b"x" * 510]
        assert lines_of(LineBuffer(b"x" * 511 + b"\r\n")) == [OVERLONG]
        assert lines_of(LineBuffer(b"x" * 511 + b"\n")) == [b"x" * 511]

    def test_an_overlong_line_is_reported_before_its_end_and_once(self) -> None:
        buffer = LineBuffer()
        buffer.feed(b"x" * 511)
        assert buffer.next_line() is None
        buffer.feed(b"x")
        assert buffer.next_line() is OVERLONG
        for _ in range(100):
            buffer.feed(b"QUIT" * 1000)
            assert buffer.next_line() is None
        assert not buffer.idle
        buffer.feed(b"\r\nSTAT\r\n")
        assert lines_of(buffer) == [b"STAT"]
        assert buffer.idle

    def test_an_overlong_line_takes_no_memory(self) -> None:
        buffer = LineBuffer()
        piece = b"x" * 65536
        tracemalloc.start()
        for _ in range(1000):
            buffer.feed(piece)
            buffer.next_line()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * len(piece)

    def test_the_limit_is_that_of_the_line(self) -> None:
        buffer = LineBuffer(b"x" * 5000 + b"\r\n" + b"y" * 5000 + b"\r\nz\r\n")
        assert buffer.next_line(MAXIMUM_EXCHANGE_LINE) == b"x" * 5000
        assert buffer.next_line() is OVERLONG
        assert buffer.next_line() == b"z"

    def test_rest_takes_what_is_unread(self) -> None:
        buffer = LineBuffer(b"PASS x\r\nSTAT\r\nQU")
        buffer.next_line()
        assert buffer.rest() == b"STAT\r\nQU"
        assert buffer.idle
        assert buffer.next_line() is None

    def test_clear_forgets_an_overlong_line_too(self) -> None:
        buffer = LineBuffer(b"x" * 600)
        assert buffer.next_line() is OVERLONG
        buffer.clear()
        buffer.feed(b"QUIT\r\n")
        assert buffer.next_line() == b"QUIT"

    @given(
        st.lists(
            st.sampled_from([b"\r\n", b"\n", b"\r", b"abc", b"x" * 300, b"y" * 511]), max_size=30
        ).map(b"".join),
        st.lists(st.integers(0, 3000), max_size=8),
    )
    def test_chunking_makes_no_difference(self, octets: bytes, at: list[int]) -> None:
        buffer = LineBuffer()
        lines: list[bytes | Overlong] = []
        for piece in cut(octets, at):
            buffer.feed(piece)
            lines += lines_of(buffer)
        assert lines == lines_of(LineBuffer(octets))

    def test_a_line_is_copied_once_however_many_wait(self) -> None:
        """The pieces that are cut from a large buffer are lines, never the rest of the buffer."""
        buffer = LineBuffer(b"NOOP\r\n" * 10_000)
        tracemalloc.start()
        for _ in range(10_000):
            assert buffer.next_line() == b"NOOP"
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10_000
        assert buffer.idle


class TestEncode:
    @pytest.mark.parametrize(
        ("stored", "transmitted"),
        [
            (b"", b".\r\n"),
            (b"\n", b"\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b"a\n", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\n..\n", b"..\r\n...\r\n.\r\n"),
            (b"a\r\n.b", b"a\r\r\n..b\r\n.\r\n"),
            (b"a\r", b"a\r\r\n.\r\n"),
            (b"a\r.b\n", b"a\r.b\r\n.\r\n"),
            (b"\xff\0\n", b"\xff\0\r\n.\r\n"),
        ],
    )
    def test_message(self, stored: bytes, transmitted: bytes) -> None:
        assert b"".join(encode([stored])) == transmitted

    def test_a_dot_in_the_next_chunk_is_doubled_only_behind_a_line_end(self) -> None:
        assert b"".join(encode([b"a\n", b".b", b".c\n", b"", b".d"])) == (
            b"a\r\n..b.c\r\n..d\r\n.\r\n"
        )

    def test_a_large_message_is_not_copied_into_one_buffer(self) -> None:
        line = b"x" * 99 + b"\n"
        body = (b"x" * 99 + b"\r\n") * 1000
        assert list(encode([line * 1000], b"+OK\r\n")) == [b"+OK\r\n", body, b".\r\n"]

    def test_a_small_message_in_one_chunk_leaves_in_one_buffer(self) -> None:
        assert list(encode([b"a\n"], b"+OK 3 octets\r\n")) == [b"+OK 3 octets\r\na\r\n.\r\n"]
        assert list(encode([], b"+OK 0 octets\r\n")) == [b"+OK 0 octets\r\n.\r\n"]

    def test_the_status_goes_before_the_first_and_the_termination_with_the_last_buffer(
        self,
    ) -> None:
        assert list(encode([b"a\n", b"b", b"\nc"], b"+OK\r\n")) == [
            b"+OK\r\na\r\n",
            b"b",
            b"\r\nc\r\n.\r\n",
        ]

    def test_only_one_buffer_is_held_back(self) -> None:
        read = 0

        def chunks() -> Iterator[bytes]:
            nonlocal read
            for _ in range(5):
                read += 1
                yield b"line\n"

        for given_out, _ in enumerate(encode(chunks()), 1):
            assert read <= given_out + 1

    @given(mail, places)
    def test_any_chunking_equals_the_reference(self, stored: bytes, at: list[int]) -> None:
        assert b"".join(encode(cut(stored, at))) == reference_encode(stored)

    @given(mail, places)
    def test_a_client_gets_back_what_is_stored(self, stored: bytes, at: list[int]) -> None:
        missing = b"" if not stored or stored.endswith(b"\n") else b"\n"
        assert decode(b"".join(encode(cut(stored, at)))) == stored + missing

    @given(st.binary(max_size=200), places)
    def test_any_octets_equal_the_reference(self, stored: bytes, at: list[int]) -> None:
        assert b"".join(encode(cut(stored, at))) == reference_encode(stored)


class TestTop:
    @pytest.mark.parametrize(
        ("lines", "cut_off"),
        [(0, b"A: b\n\n"), (1, b"A: b\n\none\n"), (2, b"A: b\n\none\n\n"), (9, None)],
    )
    def test_header_blank_line_and_body_lines(self, lines: int, cut_off: bytes | None) -> None:
        stored = b"A: b\n\none\n\nthree"
        assert b"".join(top([stored], lines)) == (stored if cut_off is None else cut_off)

    def test_an_empty_header(self) -> None:
        assert b"".join(top([b"\none\ntwo\n"], 1)) == b"\none\n"

    def test_a_header_without_a_body(self) -> None:
        assert b"".join(top([b"A: b\nC: d\n"], 0)) == b"A: b\nC: d\n"

    def test_a_blank_line_that_holds_a_cr(self) -> None:
        assert b"".join(top([b"A: b\r\n\r\none\r\n\r\ntwo\r\n"], 1)) == b"A: b\r\n\r\none\r\n"

    def test_nothing_is_read_behind_the_cut(self) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"A: b\n\none\n"
            raise AssertionError("read on")

        assert b"".join(top(chunks(), 0)) == b"A: b\n\n"
        assert b"".join(top(chunks(), 1)) == b"A: b\n\none\n"

    @given(mail, places, st.integers(0, 6))
    def test_any_chunking_equals_the_reference(
        self, stored: bytes, at: list[int], lines: int
    ) -> None:
        assert b"".join(top(cut(stored, at), lines)) == reference_top(stored, lines)
