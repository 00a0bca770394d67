"""How long the answer to a refused login is held back. Pure: time is a parameter.

Run by login processes. The first failure from a network costs ``failure_delay`` seconds, each
further one twice as much, up to ``maximum_delay``; networks are IPv4 addresses and IPv6 /64s. What
is remembered fades after an hour and is bounded in size.
"""

from __future__ import annotations

import ipaddress

MEMORY = 3600.0  # seconds a network's failures count
MAXIMUM_NETWORKS = 10_000


def network(peer: str) -> str:
    """What an address is punished as: itself, or the /64 an IPv6 address is in."""
    if ":" not in peer:
        return peer
    try:
        return str(ipaddress.ip_network((peer.partition("%")[0], 64), strict=False))
    except ValueError:
        return peer


class Penalties:
    """Failures by network."""

    def __init__(self, delay: float, maximum: float) -> None:
        self._delay = delay
        self._maximum = maximum
        self._failures: dict[str, tuple[int, float]] = {}

    def failed(self, peer: str, now: float) -> float:
        """Count a failure; seconds for which the answer is to be held back."""
        if not self._delay:
            return 0.0
        key = network(peer)
        count, since = self._failures.pop(key, (0, now))
        if now - since > MEMORY:
            count = 0
        if len(self._failures) >= MAXIMUM_NETWORKS:
            del self._failures[next(iter(self._failures))]
        self._failures[key] = (count + 1, now)
        return float(min(self._maximum, self._delay * 2 ** min(count, 32)))
