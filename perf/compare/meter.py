"""How much CPU time and memory all processes of a server have used.

A server's children come and go, so the time of those that have ended has to be counted too. A
cgroup does that exactly; without one, a process that has ended is found in its parent's children's
time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

PR_SET_CHILD_SUBREAPER = 36
CGROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


class Meter(Protocol):
    """Knows the processes of one server."""

    def adopt(self) -> None:
        """Count the calling process and its descendants; called in the child before it executes."""

    def processes(self) -> list[int]:
        """Return the ids of the living ones."""

    def cpu(self) -> float:
        """Return the seconds of CPU time used so far, user and system."""

    def close(self) -> None:
        """End whatever still lives."""


class Cgroup:
    """A cgroup v2 of its own. The interface files need no controller for this."""

    def __init__(self, parent: Path, name: str) -> None:
        self._path = parent / name
        self._path.mkdir()

    def adopt(self) -> None:
        (self._path / "cgroup.procs").write_text("0")

    def processes(self) -> list[int]:
        return [int(line) for line in (self._path / "cgroup.procs").read_text().split()]

    def cpu(self) -> float:
        first = (self._path / "cpu.stat").read_text().split()[:2]
        return int(first[1]) / 1e6

    def close(self) -> None:
        end_all(self.processes)
        self._path.rmdir()


class Tree:
    """The descendants of a process, found in /proc. Times are in hundredths of a second there."""

    def __init__(self) -> None:
        # Whoever loses its parent becomes our child, and stays in sight.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._before = {pid for pid, _parent, _ticks in all_processes()}

    def adopt(self) -> None:
        pass

    def processes(self) -> list[int]:
        return [pid for pid, _ticks in self._members()]

    def cpu(self) -> float:
        return sum(ticks for _pid, ticks in self._members()) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        end_all(self.processes)

    def _members(self) -> list[tuple[int, int]]:
        found, known = [], {os.getpid()}
        for pid, parent, ticks in sorted(all_processes()):
            if parent in known and pid not in self._before:
                known.add(pid)
                found.append((pid, ticks))
        return found


def all_processes() -> Iterator[tuple[int, int, int]]:
    """Yield process id, parent and clock ticks, those of children that have ended included."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            yield int(entry), int(fields[1]), sum(map(int, fields[11:15]))


def end_all(processes: Callable[[], list[int]]) -> None:
    """First politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + 5
        while (living := processes()) and time.monotonic() < deadline:
            for pid in living:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(0.1)


def meter(name: str) -> Meter:
    """Return the best meter that this machine has."""
    for parent in CGROUPS:
        if (parent / "cgroup.procs").exists() and (parent / "cgroup.controllers").exists():
            with contextlib.suppress(OSError):
                return Cgroup(parent, f"popbench-{os.getpid()}-{name}")
    return Tree()


def pss(processes: list[int]) -> int:
    """Return the proportional set size of processes, in octets."""
    octets = 0
    for pid in processes:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    octets += int(line.split()[1]) * 1024
    return octets
