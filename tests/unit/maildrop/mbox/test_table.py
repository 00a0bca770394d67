"""Tables of messages."""

from __future__ import annotations

import pytest

from preforkpop.maildrop.mbox.naming import Namer
from preforkpop.maildrop.mbox.scan import scan
from preforkpop.maildrop.mbox.table import Builder, Table
from tests.unit.maildrop.mbox.helpers import FROM, join, message

STORED = [message(1), message(2, extra=b"X-UIDL: two\n"), b"", message(4), b"A: b"]
OCTETS = join(STORED[:-1]) + FROM + STORED[-1]


def of(octets: bytes) -> Table:
    namer = Namer()
    builder = Builder()
    found = scan(lambda offset, size: octets[offset : offset + size], 0, len(octets))
    for named in namer.name(found):
        builder.add(named)
    return builder.table(len(octets), durable=namer.durable)


def rebuilt(table: Table) -> Table:
    """The table as it comes out of a file, behind other octets."""
    scan_size, unique_id_size = table.sizes()
    return Table(
        b"front" + b"".join(table.parts()),
        5,
        count=table.count,
        octets=table.octets,
        scan_size=scan_size,
        unique_id_size=unique_id_size,
        end=table.end,
        durable=table.durable,
    )


@pytest.mark.parametrize("table", [of(OCTETS), rebuilt(of(OCTETS))])
def test_a_table_answers_for_every_message(table: Table) -> None:
    assert table.count == len(STORED)
    rows = list(table.rows())
    assert rows == [table.row(number) for number in range(1, table.count + 1)]
    assert [OCTETS[row.content : row.content + row.length] for row in rows] == STORED
    assert table.octets == sum(row.octets for row in rows)
    assert table.scan_listings() == b"".join(
        b"%d %d\r\n" % (number, row.octets) for number, row in enumerate(rows, 1)
    )
    ids = [table.unique_id(number) for number in range(1, table.count + 1)]
    assert ids == table.unique_ids()
    assert ids[1] == b"two"
    assert table.unique_id_listings() == b"".join(
        b"%d %b\r\n" % (number, one) for number, one in enumerate(ids, 1)
    )
    ends = [table.region_end(number) for number in range(1, table.count + 1)]
    assert ends == [row.offset for row in rows[1:]] + [len(OCTETS)]


@pytest.mark.parametrize("number", [0, -1, 6])
def test_a_number_that_is_no_message_is_a_mistake(number: int) -> None:
    with pytest.raises(AssertionError):
        of(OCTETS).row(number)


@pytest.mark.parametrize(
    "deleted", [{1}, {5}, {2, 3}, {1, 3, 5}, {1, 2, 3, 4, 5}, {2, 3, 4, 5}, {1, 2, 3, 4}]
)
def test_what_is_left_is_what_a_scan_of_the_rest_finds(deleted: set[int]) -> None:
    table = of(OCTETS)
    kept = [number for number in range(1, 6) if number not in deleted]
    rest = b"".join(OCTETS[table.row(one).offset : table.region_end(one)] for one in kept)
    after = table.without(frozenset(deleted))
    assert after.parts() == of(rest).parts()
    assert after.end == len(rest)
    assert after.unique_ids() == [table.unique_id(number) for number in kept]
