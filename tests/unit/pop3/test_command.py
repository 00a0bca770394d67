"""The table and the parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.pop3.command import COMMANDS, Command, Keyword, State, number, parse
from tests.unit.pop3.test_reply import is_status_line


@pytest.mark.parametrize("keyword", COMMANDS, ids=lambda keyword: keyword.name)
@pytest.mark.parametrize("state", State)
def test_a_command_is_valid_in_its_states_only(keyword: Keyword, state: State) -> None:
    line = " ".join([keyword.name, *["1"] * keyword.minimum]).encode()
    parsed = parse(line, state)
    if state in keyword.states:
        assert parsed == Command(keyword.name, (b"1",) * keyword.minimum)
    else:
        assert parsed == f"-ERR The {keyword.name} command is not valid {state.value}.\r\n".encode()


@pytest.mark.parametrize("keyword", COMMANDS, ids=lambda keyword: keyword.name)
def test_the_number_of_arguments_is_checked(keyword: Keyword) -> None:
    (state, *_) = keyword.states
    for count in range(5):
        line = " ".join([keyword.name, *["1"] * count]).encode()
        parsed = parse(line, state)
        right = keyword.minimum <= count <= keyword.maximum or (keyword.verbatim and count)
        assert isinstance(parsed, Command) == bool(right), line


@pytest.mark.parametrize("line", [b"stat", b"Stat", b"STAT ", b"STAT   "])
def test_keywords_are_case_insensitive_and_blanks_at_the_end_are_none(line: bytes) -> None:
    assert parse(line, State.TRANSACTION) == Command("STAT", ())


def test_several_blanks_count_as_one() -> None:
    assert parse(b"TOP  1   2 ", State.TRANSACTION) == Command("TOP", (b"1", b"2"))


@pytest.mark.parametrize(
    ("line", "password"),
    [
        (b"PASS secret", b"secret"),
        (b"PASS  two  words ", b" two  words "),
        (b"PASS a\0b\rc\td\xff", b"a\0b\rc\td\xff"),
        (b"PASS  ", b" "),
    ],
)
def test_a_password_is_everything_behind_one_blank(line: bytes, password: bytes) -> None:
    assert parse(line, State.AUTHORIZATION) == Command("PASS", (password,))


@pytest.mark.parametrize("line", [b"PASS", b"PASS "])
def test_pass_without_a_password_is_malformed(line: bytes) -> None:
    assert parse(line, State.AUTHORIZATION) == b"-ERR Too few arguments for the PASS command.\r\n"


@pytest.mark.parametrize(
    "line", [b"", b" STAT", b"ST\0AT", b"STAT\0", b"STAT\r", b"STAT\t", b"STATS", b"STA", b"XTND"]
)
def test_what_is_no_command_is_unknown(line: bytes) -> None:
    reply = parse(line, State.TRANSACTION)
    assert isinstance(reply, bytes)
    assert reply.startswith(b'-ERR Unknown command: "')


@pytest.mark.parametrize("argument", [b"fr\0ed", b"fr\red", b"fr\ted", b"fr\x7fed", b"\x1b[2J"])
def test_control_characters_in_an_argument_are_malformed(argument: bytes) -> None:
    reply = parse(b"USER " + argument, State.AUTHORIZATION)
    assert reply == b"-ERR Control characters in the USER command.\r\n"


def test_a_name_may_hold_octets_above_ascii() -> None:
    name = "jürgen".encode()
    assert parse(b"USER " + name, State.AUTHORIZATION) == Command("USER", (name,))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        (b"1", 1),
        (b"01", 1),
        (b"0", 0),
        (b"0" * 39 + b"1", 1),
        (b"0" * 40 + b"1", None),
        (b"18446744073709551617", 2**64 + 1),
        (b"9" * 40, 10**40 - 1),
        (b"9" * 41, None),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b"1x", None),
        (b"0x1", None),
        (b"1_0", None),
        (b"1.0", None),
        (b" 1", None),
        ("٣".encode(), None),
        (b"\xb2", None),
    ],
)
def test_numbers_are_ascii_digits_and_at_most_forty(argument: bytes, value: int | None) -> None:
    assert number(argument) == value


@given(st.binary(max_size=600), st.sampled_from(State))
def test_any_line_is_a_command_or_one_error(line: bytes, state: State) -> None:
    parsed = parse(line, state)
    assert isinstance(parsed, Command) or (parsed.startswith(b"-ERR") and is_status_line(parsed))
