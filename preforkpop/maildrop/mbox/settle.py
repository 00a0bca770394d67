"""What an update is about to remove, seen in the spool as it is now (step 1 in ``update``).

Run by a worker as the mailbox's user, who holds the spool's locks. Nothing is written here.
"""

from __future__ import annotations

import os

from preforkpop.maildrop.mbox import survey
from preforkpop.maildrop.mbox.plan import Range
from preforkpop.maildrop.mbox.spool import Spool
from preforkpop.maildrop.mbox.survey import Beat
from preforkpop.maildrop.mbox.table import Table


def settle(
    spool: Spool,
    seen: os.stat_result | None,
    table: Table,
    deleted: frozenset[int],
    beat: Beat,
) -> tuple[Table, frozenset[int]]:
    """What the spool holds, and the numbers of the messages in it that are to be removed.

    ``seen`` is the status that goes with ``table``. Where other programs have done more than to add
    mail, messages are found again by their content; what is not found was removed by them.
    """
    if spool.descriptor < 0 or seen is None:
        return table, frozenset()
    status = spool.fstat()
    now = _extended(spool, seen, status, table, deleted, beat)
    if now is not None and all(survey.verified(spool.read, now, one) for one in deleted):
        return now, deleted
    now = survey.anew(spool, status, table, beat)
    names = table.unique_ids()
    wanted = {names[number - 1] for number in deleted}
    found = enumerate(now.unique_ids(), 1)
    return now, frozenset(number for number, name in found if name in wanted)


def _extended(
    spool: Spool,
    seen: os.stat_result,
    status: os.stat_result,
    table: Table,
    deleted: frozenset[int],
    beat: Beat,
) -> Table | None:
    """The table with what was added; None when the spool may have been changed in other ways."""
    if not os.path.samestat(seen, status) or status.st_size < table.end:
        return None
    if status.st_size == table.end:
        return table if status.st_mtime_ns == seen.st_mtime_ns else None
    extended = None
    if table.count in deleted:
        extended = survey.added(spool.read, status.st_size, table, beat)
    return extended or survey.grown(spool.read, status.st_size, table, beat)


def kept_ranges(table: Table, deleted: frozenset[int]) -> tuple[Range, ...]:
    """What is kept behind the first message that is removed, in as few ranges as possible."""
    ranges: list[Range] = []
    begin = -1  # where the range that is open begins
    first = min(deleted)
    for number, row in enumerate(table.rows(), 1):
        if number in deleted and begin >= 0:
            ranges.append(Range(begin, row.offset - begin))
            begin = -1
        elif number > first and number not in deleted and begin < 0:
            begin = row.offset
    if begin >= 0:
        ranges.append(Range(begin, table.end - begin))
    return tuple(ranges)
