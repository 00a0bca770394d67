"""What a check of several settings together has found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from preforkpop.config.locator import Place
from preforkpop.config.settings import Settings
from preforkpop.config.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem between settings: told at the first of ``places`` that the file sets.

    ``related`` are the others that it comes from. While one of all these has a fault of its own,
    nothing can be said about how they go together.
    """

    places: tuple[Place, ...]
    problem: str
    warning: bool = False
    related: tuple[Place, ...] = ()

    def concerns(self, places: Collection[Place]) -> bool:
        """Whether it comes from one of these places, or from what is in it or around it."""
        return any(
            mine[: len(other)] == other or other[: len(mine)] == mine
            for mine in (*self.places, *self.related)
            for other in places
        )


@dataclass(frozen=True, slots=True)
class View:
    """What a check looks at."""

    settings: Settings
    given: Callable[[str], bool]  # whether the file sets a key, like "pool.start_workers"
    surroundings: Surroundings


Check = Callable[[View], Iterator[Finding]]


def found(
    *keys: str, problem: str, warning: bool = False, related: tuple[str, ...] = ()
) -> Finding:
    """A finding about keys like "pool.start_workers"."""
    return Finding(_places(keys), problem, warning, _places(related))


def _places(keys: tuple[str, ...]) -> tuple[Place, ...]:
    return tuple(tuple(key.split(".")) for key in keys)
