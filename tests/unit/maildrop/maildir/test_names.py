"""What names of message files say, and the unique-ids made from them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.maildrop.maildir import names

DOVECOT = b"1700000000.M2011P28112Q0.mail.example,S=500,W=512:2,S"
file_names = st.binary(min_size=1, max_size=255).filter(lambda name: not set(name) & set(b"/\0"))


def test_flags_and_sizes_are_not_part_of_the_unique_part() -> None:
    assert names.base(DOVECOT) == b"1700000000.M2011P28112Q0.mail.example,S=500,W=512"
    assert names.unique(DOVECOT) == b"1700000000.M2011P28112Q0.mail.example"
    assert names.unique(b"1700000000.1_0.host") == b"1700000000.1_0.host"
    assert names.unique(b"1700000000.1.host,U=7,S=9:2,") == b"1700000000.1.host,U=7"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"1.2.host", b"1.2.host:2,S"),
        (b"1.2.host:2,", b"1.2.host:2,S"),
        (b"1.2.host:2,FRT", b"1.2.host:2,FRST"),
        (b"1.2.host:2,S", b"1.2.host:2,S"),
        (b"1.2.host:1,experimental", b"1.2.host:2,S"),
    ],
)
def test_a_message_that_was_read_has_the_flag_s(before: bytes, after: bytes) -> None:
    assert names.seen(before) == after


def test_messages_are_ordered_by_their_delivery_and_not_by_their_flags() -> None:
    found = [b"1000.2.h:2,", b"1000.3.h,S=1:2,S", b"noise", b"1000.1.h", b"999.1.h:2,S"]
    assert sorted(found, key=names.order) == [
        b"noise",
        b"999.1.h:2,S",
        b"1000.1.h",
        b"1000.2.h:2,",
        b"1000.3.h,S=1:2,S",
    ]


@pytest.mark.parametrize(
    ("name", "size", "stated"),
    [
        (DOVECOT, 500, 512),
        (DOVECOT, 501, None),  # the file is not the one that was measured
        (b"1.h,W=512", 500, 512),
        (b"1.h,S=500", 500, None),
        (b"1.h", 500, None),
        (b"1.h,W=500", 500, None),  # no line end, or CRLF: not what we send
        (b"1.h,W=499", 500, None),
        (b"1.h,W=1000", 500, 1000),
        (b"1.h,W=1001", 500, None),
        (b"1.h,W=-512", 500, None),
        (b"1.h,W=" + b"9" * 200, 500, None),
        (b"1.h:2,W=512", 500, None),
    ],
)
def test_stated_octets_are_taken_only_where_they_can_be_true(
    name: bytes, size: int, stated: int | None
) -> None:
    assert names.stated_octets(name, size) == stated


def test_a_unique_id_is_the_unique_part_of_the_name() -> None:
    assert names.unique_id(DOVECOT) == b"1700000000.M2011P28112Q0.mail.example"
    assert names.unique_id(b"1.2.host") == b"1.2.host"


def test_a_name_that_the_protocol_does_not_allow_gives_a_digest() -> None:
    long = names.unique_id(b"1700000000." + b"h" * 200 + b":2,S")
    assert re.fullmatch(rb"[0-9a-f]{32}", long)
    assert long == names.unique_id(b"1700000000." + b"h" * 200)
    assert re.fullmatch(rb"[0-9a-f]{32}", names.unique_id(b"1700000000.with space"))


def test_a_copy_with_another_size_in_its_name_can_have_an_id_of_its_own() -> None:
    others = {names.other_unique_id(b"1.h,S=%d" % size, n) for size in (1, 2) for n in (0, 1)}
    assert len(others | {names.unique_id(b"1.h,S=1")}) == 5


@given(file_names, st.integers(min_value=0, max_value=10**6))
def test_unique_ids_are_allowed_whatever_the_name_is(name: bytes, ordinal: int) -> None:
    for made in (names.unique_id(name), names.other_unique_id(name, ordinal)):
        assert re.fullmatch(rb"[\x21-\x7e]{1,70}", made)


@given(file_names, st.integers(min_value=0, max_value=10**9))
def test_names_from_anywhere_break_nothing(name: bytes, size: int) -> None:
    names.order(name)
    stated = names.stated_octets(name, size)
    assert stated is None or size < stated <= 2 * size
    assert names.unique(names.seen(name)) == names.unique(name)
