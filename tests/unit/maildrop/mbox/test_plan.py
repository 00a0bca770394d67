"""The head of a journal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.maildrop.mbox.plan import (
    TOKEN,
    DamagedJournal,
    Plan,
    Range,
    before_of,
    decode,
    encode,
    foot_of,
)

PLAN = Plan(
    inode=7,
    start=1000,
    end=10_000,
    ranges=(Range(2000, 500), Range(4000, 6000)),
    token=b"t" * TOKEN,
    before=1,
    foot=2,
    index=b"the index",
)


def decoded(octets: bytes) -> tuple[Plan, int, int]:
    return decode(lambda offset, size: octets[offset : offset + size])


def test_what_is_encoded_is_decoded() -> None:
    octets = encode(PLAN, 4096)
    assert decoded(octets) == (PLAN, 4096, len(octets))
    assert decoded(octets + b"windows") == (PLAN, 4096, len(octets))


def test_lengths() -> None:
    assert (PLAN.length, PLAN.final) == (6500, 7500)


def test_every_octet_is_checked() -> None:
    octets = encode(PLAN, 4096)
    used = [*range(88), *range(1024, len(octets))]
    for place in used:
        damaged = bytearray(octets)
        damaged[place] ^= 1
        with pytest.raises(DamagedJournal):
            decoded(bytes(damaged))
    for size in used:
        with pytest.raises(DamagedJournal):
            decoded(octets[:size])


@given(st.binary(max_size=2000))
def test_any_other_octets_are_damaged(octets: bytes) -> None:
    with pytest.raises(DamagedJournal):
        decoded(octets)


@given(st.integers(0, 20_000), st.integers(27, 20_000), st.integers(1, 20_000))
def test_what_is_compared_is_what_no_step_touches(start: int, removed: int, moved: int) -> None:
    final, end = start + moved, start + moved + removed
    before, foot = before_of(start), foot_of(final, end)
    assert 0 <= before.offset <= before.end == start
    assert foot.length > 0
    assert final + TOKEN <= foot.offset < foot.end == end
