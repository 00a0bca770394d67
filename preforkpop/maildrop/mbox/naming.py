"""Which unique-id a message gets (RFC 1939 section 7).

Pure; run by a worker as the mailbox's user. In this order:

1. The one that is recorded for a message with its digest; of several such messages the first one
   found gets the first one recorded.
2. The one that an earlier server left in its X-UIDL header, unless another message has it: the
   second message with the same one gets an id of its own.
3. One made from its digest and how many messages with that digest came before it.

No message gets an id that another one has. An id that was made from a digest is given again only to
a copy of the message that had it: one that is put back from a backup has the id it had.

A spool that was never updated thus gives the same ids when everything recorded is lost. Where the
ids could not be found out again (the first of two equal messages was removed, the second keeps its
id) ``durable`` is set.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from preforkpop.maildrop import uidl
from preforkpop.maildrop.mbox.scan import Scanned
from preforkpop.maildrop.mbox.table import HONOURED, Named, Table


class Namer:
    """Gives unique-ids to the messages of one maildrop, in order."""

    def __init__(self) -> None:
        self._taken: set[bytes] = set()
        self._met: dict[bytes, int] = {}  # messages with a digest so far
        self._next: dict[bytes, int] = {}  # the next free ordinal, where it is more than that
        self._recorded: dict[bytes, deque[tuple[bytes, int]]] = {}
        self.durable = False

    def recall(self, table: Table, *, present: bool) -> None:
        """Take over what a table records: of messages that are there, or may be found again."""
        for row, unique_id in zip(table.rows(), table.unique_ids(), strict=True):
            self._taken.add(unique_id)
            if row.ordinal != HONOURED:
                self._next[row.digest] = max(self._next.get(row.digest, 0), row.ordinal + 1)
            if present:
                self._met[row.digest] = self._met.get(row.digest, 0) + 1
            else:
                found = self._recorded.setdefault(row.digest, deque())
                found.append((unique_id, row.ordinal))
        self.durable |= table.durable

    def name(self, messages: Iterable[Scanned]) -> Iterator[Named]:
        """Give the messages their unique-ids."""
        for message in messages:
            met = self._met.get(message.digest, 0)
            self._met[message.digest] = met + 1
            unique_id, ordinal = self._recall(message) or self._choose(message, met)
            self._taken.add(unique_id)
            if met < ordinal != HONOURED:
                self._next[message.digest] = max(self._next.get(message.digest, 0), ordinal + 1)
            found_again = unique_id == message.claim or (message.claim is None and ordinal == met)
            self.durable |= not found_again
            yield Named(message, unique_id, ordinal)

    def _recall(self, message: Scanned) -> tuple[bytes, int] | None:
        recorded = self._recorded.get(message.digest)
        return recorded.popleft() if recorded else None

    def _choose(self, message: Scanned, met: int) -> tuple[bytes, int]:
        if message.claim is not None and message.claim not in self._taken:
            return message.claim, HONOURED
        ordinal = max(met, self._next.get(message.digest, 0))
        while (unique_id := uidl.from_digest(message.digest, ordinal)) in self._taken:
            ordinal += 1
        return unique_id, ordinal
