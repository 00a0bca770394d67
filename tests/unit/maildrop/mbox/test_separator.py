"""The rule for From_ lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.maildrop.mbox.separator import MAXIMUM_LINE, is_separator

DATES = [
    b"Wed Dec  2 05:53:22 1992",
    b"Wed Dec  2 05:53 1992",
    b"Wed Dec  2 05:53:22 GMT 1992",
    b"Wed Dec  2 05:53 GMT 1992",
    b"Wed Dec  2 05:53:22 +0100 1992",
    b"Wed Dec  2 05:53 -0100 1992",
    b"Wed Dec  2 05:53:22 1992 GMT",
    b"Wed Dec  2 05:53 1992 GMT",
    b"Wed Dec  2 05:53:22 1992 +0100",
    b"Wed Dec  2 05:53 1992 -0100",
]
SENDERS = [
    b"alice@example.org",
    b"a b  c",
    b"<>",
    b"MAILER-DAEMON",
    b'"From me "@example.org',
    b"\xe4",
]


@pytest.mark.parametrize("remote", [b"", b" remote from relay"])
@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("date", DATES)
def test_every_form_of_date_behind_any_sender(date: bytes, sender: bytes, remote: bytes) -> None:
    assert is_separator(b"From " + sender + b" " + date + remote)


def test_names_of_days_and_months_are_not_judged() -> None:
    assert is_separator(b"From x Mit Dez  2 05:53:22 1992")


def test_no_sender() -> None:
    assert is_separator(b"From Wed Dec  2 05:53:22 1992")
    assert not is_separator(b"From Wed Dec  2 05:53 1992"), "26 octets: one too few"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"From",
        b"From ",
        b"From here on it is downhill all the way",
        b"From alice@example.org",
        b"From alice@example.org Wed Dec  2 1992",
        b"From alice@example.org Wed Dec 2 05:53:22 1992",  # one-column day
        b"From alice@example.org Wed Dec  2 05.53.22 1992",
        b"From alice@example.org Wed, 2 Dec 1992 05:53:22 +0000",
        b"From alice@example.org Wed Dec  2 05:53:22 1992\r",
        b"From alice@example.org Wed Dec  2 05:53:22 1992 ",
        b"From alice@example.org Wed Dec  2 05:53:22 1992 remote from",
        b"from alice@example.org Wed Dec  2 05:53:22 1992",
        b" From alice@example.org Wed Dec  2 05:53:22 1992",
        b">From alice@example.org Wed Dec  2 05:53:22 1992",
        b"From\talice@example.org Wed Dec  2 05:53:22 1992",
        b"From: alice@example.org Wed Dec  2 05:53:22 1992",
    ],
)
def test_what_is_no_separator(line: bytes) -> None:
    assert not is_separator(line)


def test_a_line_of_1023_octets_with_its_end_is_the_longest() -> None:
    date = b" Wed Dec  2 05:53:22 1992"
    longest = b"From " + b"x" * (MAXIMUM_LINE - 1 - 5 - len(date)) + date
    assert len(longest) == 1022
    assert is_separator(longest)
    assert not is_separator(longest.replace(b"From ", b"From x"))


def c_client(line: bytes) -> bool:
    """The rule as the c-client library's VALID macro has it, octet by octet from the end."""
    x = len(line)

    def at(index: int) -> bytes:
        return line[x + index : x + index + 1]

    if line[:5] != b"From ":
        return False
    if x >= 41:
        zone = -1
        while at(zone) != b" ":
            zone -= 1
        if line[: x + zone].endswith(b" remote from"):
            x += zone - 12
    if x < 27:
        return False
    time = 0
    if at(-5) == b" ":
        if at(-8) == b":":
            time = -5
        elif at(-9) == b" ":
            time = -9
        elif at(-11) == b" " and at(-10) in (b"+", b"-"):
            time = -11
    elif at(-4) == b" ":
        if at(-9) == b" ":
            time = -9
    elif at(-6) == b" " and at(-11) == b" " and at(-5) in (b"+", b"-"):
        time = -11
    if not time or at(time - 3) != b":":
        return False
    time -= 9 if at(time - 6) == b":" else 6
    if x + time - 11 < 0:
        return False
    return all(at(time - place) == b" " for place in (0, 3, 7, 11))


@given(
    st.one_of(
        st.lists(st.sampled_from([b" ", b":", b"+", b"a", b"12", b" remote from"]), max_size=40),
        st.lists(
            st.sampled_from([*DATES, b" ", b"x", b" remote from h", b" remote from", b"\n"]),
            max_size=4,
        ),
    ).map(b"".join)
)
def test_any_octets_are_judged_as_c_client_judges_them(rest: bytes) -> None:
    assert is_separator(b"From " + rest) == c_client(b"From " + rest)
