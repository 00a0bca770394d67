"""Who may connect: a ledger that knows no socket and no clock. Pure.

Run by the listener, without privileges. The limits are xinetd's: ``instances`` sessions at once
over all, ``per_source`` at once from one address; one IPv6 /64 counts as one address.
"""

from __future__ import annotations

from dataclasses import dataclass

from preforkpop.system.addresses import network


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection is turned away: the setting that decides, and what the client is told."""

    rule: str
    text: str


TOO_MANY = Refusal("instances", "Too many sessions, try again later")
TOO_MANY_FROM_SOURCE = Refusal("per_source", "Too many connections from your address")


class Ledger:
    """Sessions at once, over all and by source; 0 is no limit.

    Everything is counted whatever the limits are, so that limits can change under sessions.
    """

    __slots__ = ("_instances", "_per_source", "_sources", "total")

    def __init__(self, *, instances: int, per_source: int) -> None:
        self.limit(instances=instances, per_source=per_source)
        self._sources: dict[str, int] = {}
        self.total = 0

    def limit(self, *, instances: int, per_source: int) -> None:
        """Set other limits; sessions above them go on to their ends."""
        self._instances = instances
        self._per_source = per_source

    def admit(self, peer: str) -> Refusal | None:
        """Count a new connection, or say why it is turned away (it then does not count)."""
        if self._instances and self.total >= self._instances:
            return TOO_MANY
        source = network(peer)
        held = self._sources.get(source, 0)
        if self._per_source and held >= self._per_source:
            return TOO_MANY_FROM_SOURCE
        self._sources[source] = held + 1
        self.total += 1
        return None

    def end(self, peer: str) -> None:
        """A session from this address, which was admitted, has ended."""
        source = network(peer)
        held = self._sources[source] - 1
        if held:
            self._sources[source] = held
        else:
            del self._sources[source]
        self.total -= 1
