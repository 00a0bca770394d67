"""What the master tells of itself: the answers to ``status`` and ``who``.

Run by the master (root when started as root). Nothing in it is a secret; names and addresses are as
the scoreboard holds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from preforkpop.ipc.scoreboard import BUSY, IDLE, RETIRING, STARTING, WAITING, Entry
from preforkpop.master.generation import Generation

STATES = {
    STARTING: "starting",
    IDLE: "idle",
    BUSY: "busy",
    WAITING: "waiting for the client",
    RETIRING: "retiring",
}


def status(generations: Sequence[Generation], now: float) -> dict[str, Any]:
    """Counts over all generations; the last is the current one."""
    logins = [entry for one in generations for entry in one.entries("login")]
    auths = [entry for one in generations for entry in one.entries("auth")]
    workers = [entry for one in generations for entry in one.entries("worker")]
    current = generations[-1]
    return {
        "login": {
            "processes": len(logins),
            "connections": sum(entry.clients for entry in logins),
        },
        "auth": {
            "processes": len(auths),
            "logins": sum(entry.sessions for entry in auths),
            "failures": sum(entry.failures for entry in auths),
        },
        "workers": {
            "processes": len(workers),
            "idle": _count(workers, IDLE),
            "busy": _count(workers, BUSY),
            "waiting": _count(workers, WAITING),
            "starting": _count(workers, STARTING),
            "maximum": current.pool.maximum_workers,
        },
        "sessions": len(sessions(generations, now)),
        "draining_generations": len(generations) - 1,
    }


def sessions(generations: Sequence[Generation], now: float) -> list[dict[str, Any]]:
    """One entry for each session after login, the oldest first."""
    entries = (
        entry
        for one in generations
        for entry in one.entries("worker")
        if entry.user and entry.state in (BUSY, WAITING)
    )
    return [
        {
            "pid": entry.pid,
            "user": entry.user,
            "peer": entry.peer,
            "tls": entry.tls,
            "since": round(now - entry.since, 3),
            "state": STATES[entry.state],
            "command": entry.command,
            "message": entry.message,
            "idle": round(now - entry.progress, 3),
        }
        for entry in sorted(entries, key=lambda one: one.since)
    ]


def _count(entries: Sequence[Entry], state: int) -> int:
    return sum(entry.state == state for entry in entries)
