"""Unique-ids are what RFC 1939 section 7 allows, and copies have their own."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.maildrop import uidl

ALLOWED = re.compile(rb"[\x21-\x7e]{1,70}")


@pytest.mark.parametrize("value", [b"x", b"~" * 70, b"E`'!!Y]+\"!(-i!!Tl$#!", b"UID1-1795442851"])
def test_what_the_protocol_allows_is_kept_as_it_is(value: bytes) -> None:
    assert uidl.acceptable(value) == value


def test_blanks_and_a_cr_around_it_are_not_part_of_it() -> None:
    assert uidl.acceptable(b" \tabc \t\r\n") == b"abc"


@pytest.mark.parametrize(
    "value", [b"", b" ", b"a b", b"a\tb", b"\x7f", b"\xe4", b"a\0b", b"x" * 71]
)
def test_what_it_does_not_allow_is_none(value: bytes) -> None:
    assert uidl.acceptable(value) is None


@given(st.binary(max_size=80))
def test_what_is_accepted_is_always_allowed(value: bytes) -> None:
    accepted = uidl.acceptable(value)
    assert accepted is None or ALLOWED.fullmatch(accepted)


@given(st.binary(min_size=1, max_size=31), st.integers(min_value=0, max_value=999999))
def test_an_id_of_ours_is_acceptable(digest: bytes, ordinal: int) -> None:
    value = uidl.from_digest(digest, ordinal)
    assert uidl.acceptable(value) == value


def test_copies_have_ids_of_their_own() -> None:
    ids = [uidl.from_digest(b"\x01\xab", ordinal) for ordinal in range(3)]
    assert ids == [b"01ab", b"01ab.1", b"01ab.2"]
