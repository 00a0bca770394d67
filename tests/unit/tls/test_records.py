"""Where TLS records end."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.tls.records import Records


def record(size: int) -> bytes:
    return b"\x17\x03\x03" + size.to_bytes(2, "big") + bytes(size)


def test_records_that_come_whole() -> None:
    records = Records()
    assert records.ends(record(30)) == 1
    assert records.ends(record(0) + record(16401) + record(1)) == 3
    assert records.ends(record(30)) == 1


def test_a_record_ends_with_its_last_octet() -> None:
    records = Records()
    assert [records.ends(bytes((octet,))) for octet in record(3)] == [0] * 7 + [1]
    assert records.ends(record(2)[:-1]) == 0
    assert records.ends(record(2)[-1:] + record(5)[:3]) == 1
    assert records.ends(record(5)[3:]) == 1


@given(
    st.lists(st.integers(0, 18432), max_size=8),
    st.lists(st.integers(0, 80_000), max_size=8),
)
def test_it_does_not_matter_in_which_pieces_they_come(sizes: list[int], cuts: list[int]) -> None:
    octets = b"".join(map(record, sizes))
    places = [0, *sorted(cuts), len(octets)]
    records = Records()
    assert sum(records.ends(octets[a:b]) for a, b in itertools.pairwise(places)) == len(sizes)


@pytest.mark.parametrize("octets", [b"USER fred\r\n", record(18433)[:5], b"\xff" * 5])
def test_one_that_is_longer_than_any_may_be_is_to_be_looked_at_at_once(octets: bytes) -> None:
    assert Records().ends(octets) > 0
