"""A maildrop in memory, which keeps what the real ones promise and can be told to fail."""

from __future__ import annotations

from collections.abc import Iterator

from preforkpop.pop3.transaction import StoreError

CHANGED = StoreError("SYS/TEMP", "The maildrop was changed by another program", "spool: changed")


def transmitted_octets(stored: bytes) -> int:
    """Octets with CRLF line ends and a last line end, without dot-stuffing."""
    missing = bool(stored) and not stored.endswith(b"\n")
    return len(stored) + stored.count(b"\n") + 2 * missing


class FakeMaildrop:
    """Messages as a list; ``chunk`` octets at a time; ``fail_after`` chunks the store fails."""

    def __init__(self, messages: list[bytes], chunk: int = 65536) -> None:
        self.messages = messages
        self.chunk = chunk
        self.count = len(messages)
        self.octets = sum(map(transmitted_octets, messages))
        self.updates: list[frozenset[int]] = []
        self.fail_after: int | None = None
        self.fail_update: StoreError | None = None
        self.fail_listings: StoreError | None = None
        self.chunks_read = 0

    def size(self, number: int) -> int:
        return transmitted_octets(self.messages[number - 1])

    def unique_id(self, number: int) -> bytes:
        return b"uid-%d" % number

    def scan_listings(self) -> bytes:
        if self.fail_listings:
            raise self.fail_listings
        return b"".join(b"%d %d\r\n" % (n, self.size(n)) for n in range(1, self.count + 1))

    def unique_id_listings(self) -> bytes:
        return b"".join(b"%d %b\r\n" % (n, self.unique_id(n)) for n in range(1, self.count + 1))

    def chunks(self, number: int) -> Iterator[bytes]:
        stored = self.messages[number - 1]
        for turn, start in enumerate(range(0, max(len(stored), 1), self.chunk)):
            if turn == self.fail_after:
                raise CHANGED
            self.chunks_read += 1
            yield stored[start : start + self.chunk]

    def update(self, deleted: frozenset[int]) -> None:
        if self.fail_update:
            raise self.fail_update
        self.updates.append(deleted)

    def close(self) -> None:
        pass

    def left(self) -> list[int]:
        """The messages that are there after the session."""
        deleted = frozenset[int]().union(*self.updates)
        return [number for number in range(1, self.count + 1) if number not in deleted]
