"""What is kept of a spool. How messages are found again is shown in test_update."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest

from preforkpop.maildrop.mbox.plan import Range
from preforkpop.maildrop.mbox.settle import kept_ranges
from tests.unit.maildrop.mbox.helpers import join, message
from tests.unit.maildrop.mbox.test_table import of

OCTETS = join([message(number, b"x" * number + b"\n") for number in range(1, 6)])
TABLE = of(OCTETS)


@pytest.mark.parametrize(
    "deleted", [set(some) for size in range(1, 6) for some in combinations(range(1, 6), size)]
)
def test_ranges_are_what_is_kept_behind_the_first_removed_message(deleted: set[int]) -> None:
    ranges = kept_ranges(TABLE, frozenset(deleted))
    kept = [number for number in range(min(deleted), 6) if number not in deleted]
    expected = b"".join(
        OCTETS[TABLE.row(number).offset : TABLE.region_end(number)] for number in kept
    )
    assert b"".join(OCTETS[one.offset : one.end] for one in ranges) == expected
    assert all(one.length > 0 for one in ranges)
    assert all(one.end < other.offset for one, other in pairwise(ranges))


def test_neighbours_are_one_range() -> None:
    first, last = TABLE.row(2).offset, TABLE.end
    assert kept_ranges(TABLE, frozenset({1})) == (Range(first, last - first),)
