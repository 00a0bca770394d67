"""Who may connect: a ledger that knows no socket and no clock. Pure.

Run by the listener, without privileges. The limits are xinetd's: ``instances`` sessions at once
over all, ``per_source`` at once from one address; one IPv6 /64 counts as one address.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection is turned away: the setting that decides, and what the client is told."""

    rule: str
    text: str


def source(peer: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 an IPv6 address is in."""
    if ":" not in peer:
        return peer
    try:
        network = ipaddress.ip_network((peer.partition("%")[0], 64), strict=False)
    except ValueError:
        return peer
    return str(network)


class Ledger:
    """Sessions at once, over all and by source; 0 is no limit."""

    __slots__ = ("_instances", "_per_source", "_sources", "total")

    def __init__(self, *, instances: int, per_source: int) -> None:
        self._instances = instances
        self._per_source = per_source
        self._sources: dict[str, int] = {}
        self.total = 0

    def admit(self, peer: str) -> Refusal | None:
        """Count a new connection, or say why it is turned away (it then does not count)."""
        if self._instances and self.total >= self._instances:
            return Refusal("instances", "Too many sessions, try again later")
        if self._per_source:
            key = source(peer)
            held = self._sources.get(key, 0)
            if held >= self._per_source:
                return Refusal("per_source", "Too many connections from your address")
            self._sources[key] = held + 1
        self.total += 1
        return None

    def end(self, peer: str) -> None:
        """A session from this address has ended."""
        self.total -= 1
        if not self._per_source:
            return
        key = source(peer)
        held = self._sources.get(key, 0) - 1
        if held > 0:
            self._sources[key] = held
        else:
            self._sources.pop(key, None)
