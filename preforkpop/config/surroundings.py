"""What the defaults of a configuration depend on besides the file: who runs the program, and where.

Taken once when a configuration is read; everything else gets it as a value.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Who runs the program and where its temporary and private directories are."""

    uid: int
    environment: Mapping[str, str] = field(repr=False)
    terminal: bool = False  # in the foreground, with a terminal as standard error

    @classmethod
    def here(cls, *, terminal: bool = False) -> Surroundings:
        """Those of this process."""
        return cls(os.geteuid(), os.environ, terminal)

    @property
    def root(self) -> bool:
        """Whether the program can become other users."""
        return self.uid == 0

    @property
    def run_dir(self) -> str:
        """Where a server that is not root keeps its pid file and control socket."""
        runtime = self._directory("XDG_RUNTIME_DIR")
        if runtime:
            return f"{runtime}/preforkpop"
        return f"{self._directory('TMPDIR') or '/tmp'}/preforkpop-{self.uid}"  # noqa: S108 - the master checks whose it is

    @property
    def state_dir(self) -> str:
        """Where a server that is not root keeps its indexes and journals."""
        state = self._directory("XDG_STATE_HOME")
        home = self._directory("HOME")
        if not state and home:
            state = f"{home}/.local/state"
        return f"{state}/preforkpop" if state else f"{self.run_dir}/state"

    def _directory(self, name: str) -> str:
        """A directory of the environment; one that is not absolute does not count (XDG)."""
        value = self.environment.get(name, "")
        return value.rstrip("/") if value.startswith("/") else ""
