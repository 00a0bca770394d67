"""Finding out what a spool holds, with little reading."""

from __future__ import annotations

import pytest
from hypothesis import given

from preforkpop.maildrop.mbox import survey
from preforkpop.maildrop.mbox.scan import Read
from preforkpop.maildrop.mbox.table import Table
from tests.unit.maildrop.mbox.helpers import FROM, fragments, join, message
from tests.unit.maildrop.mbox.test_table import of

STORED = [message(1), message(2, b"body\n" * 9), message(3)]


def reading(octets: bytes) -> Read:
    return lambda offset, size: octets[offset : offset + size]


def no_beat() -> None:
    return


def grown(before: bytes, after: bytes) -> Table | None:
    return survey.grown(reading(after), len(after), of(before), no_beat)


@given(fragments, fragments)
def test_a_table_that_grew_is_what_a_scan_of_all_finds(before: bytes, more: bytes) -> None:
    before = FROM + before
    found = grown(before, before + more)
    if found is not None:
        assert found.parts() == of(before + more).parts()
        assert found.end == len(before + more)


@pytest.mark.parametrize("missing", [b"", b"\n", b"\n\n"])
def test_mail_behind_a_whole_or_an_unfinished_last_message(missing: bytes) -> None:
    before = join(STORED).removesuffix(missing)
    found = grown(before, join(STORED) + join([message(4)]))
    assert found is not None
    assert found.count == 4


@pytest.mark.parametrize(
    "after",
    [
        join(STORED[:2]) + b"x" * 100,
        join([STORED[0], STORED[1], message(3, b"another body\n"), message(4)]),
        join([message(4), *STORED]),
        join([*STORED[:2], STORED[2].replace(b"number 3", b"number X"), message(4)]),
        join([*STORED[:2], STORED[2].replace(b"is message", b"is\nmessage"), message(4)]),
    ],
)
def test_a_last_message_that_is_another_or_elsewhere(after: bytes) -> None:
    assert grown(join(STORED), after) is None


def test_nothing_grows_from_nothing() -> None:
    assert survey.grown(reading(join(STORED)), len(join(STORED)), of(b""), no_beat) is None


class TestVerified:
    @given(fragments)
    def test_every_message_of_any_spool_is_verified(self, octets: bytes) -> None:
        octets = FROM + octets
        table = of(octets)
        for number in range(1, table.count + 1):
            assert survey.verified(reading(octets), table, number)
            row = table.row(number)
            begins = octets[row.content : row.content + row.length]
            assert survey.verified(reading(octets), table, number, begins)

    def test_mail_that_was_added_makes_no_difference(self) -> None:
        table = of(join(STORED)[:-2])
        octets = join([*STORED, message(4)])
        assert all(survey.verified(reading(octets), table, number) for number in (1, 2, 3))

    @pytest.mark.parametrize(
        "changed",
        [
            b"",
            join(STORED[:1]),
            join(STORED[1:]),
            b"\n" + join(STORED),
            join(STORED).replace(b"number 2", b"number 5"),
            join(STORED).replace(b"body\n", b"", 1),
            join(STORED).replace(b"body\n", b"body body\n", 1),
            join(STORED).replace(b"alice", b"clara"),
            join(STORED).replace(b"\n\nFrom", b"\n>From"),
            join(STORED).replace(b"\n\nFrom", b"x\nFrom"),
        ],
    )
    def test_a_message_that_is_another_or_elsewhere(self, changed: bytes) -> None:
        assert not survey.verified(reading(changed), of(join(STORED)), 2)

    def test_flags_in_the_place_of_others(self) -> None:
        before = [message(1), message(2, extra=b"Status: O\n"), message(3)]
        after = [message(1), message(2, extra=b"Status: R\n"), message(3)]
        assert survey.verified(reading(join(after)), of(join(before)), 2)


def test_every_block_and_every_message_is_a_beat() -> None:
    beats = []
    octets = join([message(number, b"x" * 200_000 + b"\n") for number in range(10)])
    survey.whole(reading(octets), len(octets), None, lambda: beats.append(1))
    assert len(beats) >= 10 + len(octets) // 524288
