"""How long the answer to a refused login is held back. Pure: time is a parameter.

Run by login processes. The first failure from a network costs ``failure_delay`` seconds, each
further one twice as much, up to ``maximum_delay``; networks are IPv4 addresses and IPv6 /64s. What
is remembered fades an hour after the last failure and is bounded in size.
"""

from __future__ import annotations

from typing import Final

from preforkpop.system.addresses import network

MEMORY: Final = 3600.0
"""Seconds after its last failure for which a network's failures count."""

MAXIMUM_NETWORKS: Final = 10_000
"""About 2 MB; the one whose last failure is longest ago is forgotten first."""

_STEEP = 32  # doublings, so that the power stays a number whatever is configured


class Penalties:
    """Failures by network, the latest last."""

    __slots__ = ("_delay", "_failures", "_maximum")

    def __init__(self, delay: float, maximum: float) -> None:
        self._delay = delay
        self._maximum = maximum
        self._failures: dict[str, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._failures)

    def failed(self, peer: str, now: float) -> float:
        """Count a failure; seconds for which the answer is to be held back."""
        if not self._delay:
            return 0.0
        key = network(peer)
        count, last = self._failures.pop(key, (0, now))
        if now - last > MEMORY:
            count = 0
        if len(self._failures) >= MAXIMUM_NETWORKS:
            del self._failures[next(iter(self._failures))]
        self._failures[key] = (count + 1, now)
        return float(min(self._maximum, self._delay * 2 ** min(count, _STEEP)))
