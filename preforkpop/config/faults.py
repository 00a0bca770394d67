"""What is wrong in a configuration, one line a fault. Run wherever a configuration is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """A thing that is wrong: in which file, on which line, at which key.

    ``line`` is 0 for what stands on no line, ``key`` is "" for what concerns the file as a whole.
    A warning does not keep the server from starting.
    """

    file: str
    line: int
    key: str
    problem: str
    warning: bool = False

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        parts = [where, "warning" if self.warning else "", self.key, self.problem]
        return ": ".join(part for part in parts if part)


class ConfigError(Exception):
    """A configuration that cannot be used: every fault that was found in it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))
