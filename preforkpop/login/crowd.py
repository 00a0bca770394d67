"""Who waits to log in, and who goes first when there is no room for more. Pure.

Run by login processes. Every step costs the same however many clients there are: this is looked at
for each connection while somebody opens as many as the machine gives.
"""

from __future__ import annotations

from preforkpop.system.addresses import network


class Crowd:
    """Clients before login, by number, under their network: an IPv4 address or an IPv6 /64."""

    __slots__ = ("_by_network", "_by_size", "_heaviest", "_size")

    def __init__(self) -> None:
        self._by_network: dict[str, dict[int, None]] = {}  # the oldest client first
        self._by_size: dict[int, dict[str, None]] = {}  # the networks that hold so many
        self._heaviest = 0  # the most that one network holds
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, number: int, peer: str) -> None:
        """A client came; its number is never the same twice."""
        key = network(peer)
        clients = self._by_network.setdefault(key, {})
        held = len(clients)
        clients[number] = None
        self._size += 1
        self._move(key, held, held + 1)
        if held == self._heaviest:
            self._heaviest += 1

    def remove(self, number: int, peer: str) -> None:
        """A client has gone, was handed on, or has logged in."""
        key = network(peer)
        clients = self._by_network[key]
        held = len(clients)
        del clients[number]
        self._size -= 1
        if not clients:
            del self._by_network[key]
        self._move(key, held, held - 1)
        if held == self._heaviest and held not in self._by_size:
            self._heaviest -= 1

    def oldest_of_heaviest(self) -> int | None:
        """Who goes first: the oldest of the network that holds most; None when nobody waits."""
        if not self._size:
            return None
        key = next(iter(self._by_size[self._heaviest]))
        return next(iter(self._by_network[key]))

    def _move(self, key: str, old: int, new: int) -> None:
        """The network held ``old`` clients and holds ``new``."""
        if old:
            keys = self._by_size[old]
            del keys[key]
            if not keys:
                del self._by_size[old]
        if new:
            self._by_size.setdefault(new, {})[key] = None
