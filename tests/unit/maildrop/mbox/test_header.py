"""What tells one message from another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.maildrop.mbox import header
from preforkpop.maildrop.mbox.header import LIMIT, identify
from tests.unit.maildrop.mbox.helpers import FROM

LINES = FROM + b"Received: from a by b\n\tfor <c>\nSubject: test\n"


@pytest.mark.parametrize(
    ("octets", "end"),
    [
        (b"", 0),
        (b"\nbody\n\n", 0),
        (b"\r\nbody\n\n", 0),
        (b"A: b\n\nbody\n", 5),
        (b"A: b\n\r\nbody\n\n", 5),
        (b"A: b\r\n\r\nbody\n", 6),
        (b"A: b\nC: d\n", 10),
        (b"A: b\nC: d", 9),
        (b"A: b\n\r\n\n", 5),
    ],
)
def test_a_header_ends_at_the_first_blank_line_or_with_the_message(octets: bytes, end: int) -> None:
    assert header.end(octets, 0, len(octets)) == end
    assert header.end(b"\n\n" + octets, 2, 2 + len(octets)) == end + 2


def test_a_header_has_a_longest_length() -> None:
    octets = b"A: b\n" * LIMIT
    assert header.end(octets, 0, len(octets)) == LIMIT
    blank = b"x" * (LIMIT - 2) + b"\n\n"
    assert header.end(blank, 0, len(blank)) == LIMIT - 1
    assert header.end(b"x" + blank, 0, len(blank) + 1) == LIMIT


@pytest.mark.parametrize(
    "field",
    [
        b"Status: RO\n",
        b"status:O\n",
        b"X-Status: A\n",
        b"X-Keywords: one\n two\n\tthree\n",
        b"X-UIDL: abc\n",
        b"X-UID: 4\n",
        b"X-IMAP: 1 2\n",
        b"X-IMAPbase: 1 2\n",
        b"Content-Length: 12\n",
        b"LINES: 4\n",
    ],
)
@pytest.mark.parametrize("before", [FROM, FROM + b"Received: from a by b\n\tfor <c>\n", LINES])
def test_fields_that_mail_programs_change_do_not_count(field: bytes, before: bytes) -> None:
    with_field = before + field + LINES[len(before) :]
    assert identify(with_field, 20)[0] == identify(LINES, 20)[0]


@pytest.mark.parametrize(
    "other",
    [
        LINES.replace(b"alice", b"bob"),
        LINES.replace(b"test", b"Test"),
        LINES.replace(b"\tfor <c>\n", b""),
        LINES + b"Lines-Of-Code: 4\n",
        LINES + b"X-Status-Of: x\n",
        LINES + b"Mail-Status: x\n",
        LINES + b"Content-Type: text/plain\n",
    ],
)
def test_anything_else_counts(other: bytes) -> None:
    assert identify(other, 20)[0] != identify(LINES, 20)[0]


def test_the_length_of_the_rest_counts() -> None:
    assert identify(LINES, 20)[0] != identify(LINES, 21)[0]
    assert identify(LINES + b"1\n", 2)[0] != identify(LINES + b"1\n2\n", 0)[0]


@pytest.mark.parametrize(
    ("fields", "claim"),
    [
        (b"", None),
        (b"X-UIDL: abc\n", b"abc"),
        (b"x-uidl:\t abc \r\n", b"abc"),
        (b"X-UIDL:\nX-UIDL: second\n", b"second"),
        (b"X-UIDL: two words\nStatus: RO\nX-UIDL: second\n", b"second"),
        (b"X-UIDL: " + b"x" * 70 + b"\n", b"x" * 70),
        (b"X-UIDL: " + b"x" * 71 + b"\n", None),
        (b"X-UIDL: one\nX-UIDL: two\n", b"one"),
        (b"X-UIDL: \xe4\n", None),
        (b"X-UIDL2: abc\n", None),
        (b"Subject: X-UIDL: abc\n", None),
    ],
)
def test_the_first_acceptable_x_uidl_is_the_claim(fields: bytes, claim: bytes | None) -> None:
    assert identify(FROM + fields + b"Subject: x\n", 1)[1] == claim


@given(st.binary(max_size=300), st.integers(0, 1 << 40))
def test_any_octets_have_an_identity(lines: bytes, rest: int) -> None:
    digest, claim = identify(lines, rest)
    assert len(digest) == header.DIGEST
    assert claim is None or 1 <= len(claim) <= 70
