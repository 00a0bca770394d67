"""One generation of login, auth and worker processes, with the socket pairs between them.

Run by the master (root when started as root). A reload makes a new generation beside the old one
and points the listener to it. The old one is then closed: the master gives up its ends of the
pairs, so each stage sees the end of its input when the stage before it has finished, and ends too,
when its sessions are done. Until its last auth process has ended it gets new workers as it needs
them: those of system users serve one session each, and more clients than there are spare workers
may still be about to log in.

A generation whose login parent died is replaced in the same way, as its login processes finish on
their own; its successor takes over the queue of clients that they leave.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from preforkpop.config.settings import Settings
from preforkpop.ipc import channel
from preforkpop.ipc.messages import RETIRE
from preforkpop.ipc.scoreboard import Entry, Scoreboard
from preforkpop.ipc.wiring import Pipe, Wiring
from preforkpop.master import births
from preforkpop.master.children import Child, Children
from preforkpop.master.pools import FixedPool, Kind, WorkerPool
from preforkpop.worker.main import Duty

ROOM = 64  # slots beyond pool.maximum_workers, for TTIN


@dataclass(frozen=True, slots=True)
class Lines:
    """Descriptors that every generation shares."""

    wake: int  # workers write to it when spare ones run low
    stacks: int  # where the stacks of stuck workers go


class Generation:
    """The pools behind the listener."""

    def __init__(
        self,
        settings: Settings,
        common: births.Common,
        lines: Lines,
        children: Children,
        on_login_death: Callable[[Generation, int], None],
        on_worker_death: Callable[[Entry], None],
        admitted: Pipe | None = None,
    ) -> None:
        """``admitted``: the queue of clients, when it is taken over."""
        self.settings = settings
        self.common = common
        logins = settings.login.processes or os.cpu_count() or 1
        auths = settings.authentication.processes
        workers = settings.pool.maximum_workers + ROOM
        self.board = Scoreboard(logins + auths + workers)
        self.wiring = Wiring.make(logins, admitted)
        self.logins = range(logins)
        self.closed = False
        self._children = children
        self._on_login_death = on_login_death
        self._on_worker_death = on_worker_death
        log = common.log
        self.auth = FixedPool(Kind("auth", self._auth, self.board, logins, auths, children, log))
        self.workers = WorkerPool(
            Kind(
                "worker", self._worker, self.board, logins + auths, workers, children, log,
                dead=self._worker_died,
            ),
            settings.pool,
            self._retire_one,
        )  # fmt: skip
        self._duty = self._make_duty(lines)
        self._login: Child | None = None

    def _make_duty(self, lines: Lines) -> Duty:
        settings, pool = self.settings, self.settings.pool
        system = settings.service.users == "system"
        kind = self.workers.kind
        return Duty(
            jobs=self.wiring.grants.receive,
            wake=lines.wake,
            stacks=lines.stacks,
            state_dir=settings.service.state_dir,
            maildrop=settings.maildrop,
            sessions=1 if system else pool.sessions_per_worker,
            jitter=0 if system else pool.sessions_jitter,
            becomes_user=system,
            first_slot=kind.first_slot,
            last_slot=kind.first_slot + kind.count,
            minimum_spare=pool.minimum_spare,
            mechanisms=settings.authentication.mechanisms,
            statistics=settings.logging.statistics,
            version=self.common.version,
        )

    def start(self, now: float) -> None:
        """Fork the first processes of every pool."""
        self._login = self._children.bear(
            "login",
            lambda: births.login(self.common, self.settings, self.wiring, self.board),
            self._login_died,
            now,
        )
        self.auth.refill(now)
        self.workers.start(now)

    def ready(self) -> bool:
        """Whether every stage has a process that is at work."""
        states = self.board.states(0, len(self.logins))
        return (
            all(state not in b".S" for state in states)
            and self.auth.kind.ready()
            and self.workers.kind.ready()
        )

    def refill(self, now: float) -> float:
        """Fork what is missing; seconds until the next try, 0 when nothing waits."""
        if self.closed and not self.auth.kind.living:
            self.end_births()
        delays = (self.auth.refill(now), self.workers.refill(now))
        return min((delay for delay in delays if delay), default=0.0)

    def close(self, heir: Generation | None = None) -> None:
        """Let the generation finish: each stage in turn sees the end of its input."""
        if self.closed:
            return
        self.closed = True
        self.auth.kind.closed = True
        wiring = self.wiring
        kept = [wiring.grants.receive]
        if heir is not None and heir.wiring.admitted is wiring.admitted:
            kept += [wiring.admitted.send, wiring.admitted.receive]
        wiring.close(*kept)

    def end_births(self) -> None:
        """Fork no worker any more."""
        self.workers.kind.closed = True
        self.wiring.grants.receive.close()

    def finished(self) -> bool:
        """Whether the last process has ended."""
        return not (self._login or self.auth.kind.living or self.workers.kind.living)

    def login_pid(self) -> int:
        """The pid of the login parent; 0 when it has ended."""
        return self._login.pid if self._login else 0

    def entries(self, pool: str) -> list[Entry]:
        """What the processes of a pool are doing: "login", "auth" or "worker"."""
        if pool == "login":
            slots = self.logins
        else:
            slots = (self.auth if pool == "auth" else self.workers).kind.slots()
        entries = (self.board.read(slot) for slot in slots)
        return [entry for entry in entries if entry.pid]

    def _auth(self, slot: int) -> int:
        return births.auth(self.common, self.settings, self.wiring, self.board, slot)

    def _worker(self, slot: int) -> int:
        return births.worker_process(self.common, self._duty, self.board, slot)

    def _retire_one(self) -> None:
        try:
            channel.send(self.wiring.grants.send, RETIRE, wait=False)
        except OSError:
            return  # so many sessions wait that nobody is idle

    def _login_died(self, _child: Child, status: int, _now: float) -> None:
        self._login = None
        if not self.closed:
            self._on_login_death(self, status)

    def _worker_died(self, slot: int, _child: Child, status: int) -> None:
        if status:
            self._on_worker_death(self.board.read(slot))
