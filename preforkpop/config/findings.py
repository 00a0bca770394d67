"""What a check of several settings together has found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from preforkpop.config.locator import Place
from preforkpop.config.settings import Settings
from preforkpop.config.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem with one setting or between several; told at the first that the file sets."""

    places: tuple[Place, ...]
    problem: str
    warning: bool = False

    def concerns(self, places: Collection[Place]) -> bool:
        """Whether it is about one of these places, or about what is in it or around it."""
        return any(
            mine[: len(other)] == other or other[: len(mine)] == mine
            for mine in self.places
            for other in places
        )


@dataclass(frozen=True, slots=True)
class View:
    """What a check looks at."""

    settings: Settings
    given: Callable[[str], bool]  # whether the file sets a key, like "pool.start_workers"
    surroundings: Surroundings


Check = Callable[[View], Iterator[Finding]]


def found(*keys: str, problem: str, warning: bool = False) -> Finding:
    """A finding about keys like "pool.start_workers"."""
    return Finding(tuple(tuple(key.split(".")) for key in keys), problem, warning)
