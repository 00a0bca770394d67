"""One generation of login, auth and worker processes, with the socket pairs between them.

Run by the master (root when started as root). A reload makes a new generation beside the old one
and points the listener to it. The old one is then closed: the master gives up its ends of the
pairs, so each stage sees the end of its input when the stage before it has finished, and ends too,
when its sessions are done. Until its last auth process has ended its nursery forks new workers as
they are needed: those of system users serve one session each, and more clients than there are spare
workers may still be about to log in.

A generation whose login parent died is replaced in the same way, as its login processes finish on
their own; its successor takes over the queue of clients that they leave. A nursery that died is
replaced within its generation.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from preforkpop.config.settings import Settings
from preforkpop.ipc.nursing import Nursing
from preforkpop.ipc.scoreboard import FREE, STARTING, Entry, Scoreboard
from preforkpop.ipc.wiring import Pipe, Wiring
from preforkpop.master import births
from preforkpop.supervision.children import Child, Children
from preforkpop.supervision.policy import resized
from preforkpop.supervision.pools import FixedPool, Kind
from preforkpop.system.accounts import mail_group

ROOM = 64  # slots beyond pool.maximum_workers, for TTIN


class Generation:
    """The pools behind the listener."""

    def __init__(
        self,
        settings: Settings,
        common: births.Common,
        stacks: int,
        children: Children,
        on_login_death: Callable[[Generation, int], None],
        admitted: Pipe | None = None,
    ) -> None:
        """``stacks``: where the stacks of stuck workers go. ``admitted``: the queue of clients,
        when it is taken over."""
        self.settings = settings
        self.pool = settings.pool  # as TTIN and TTOU have changed it
        self.common = common
        logins = settings.login.processes or os.cpu_count() or 1
        auths = settings.authentication.processes
        workers = settings.pool.maximum_workers + ROOM
        first = logins + auths + 1
        self._slots = {
            "login": range(logins),
            "auth": range(logins, logins + auths),
            "nursery": range(first - 1, first),
            "worker": range(first, first + workers),
        }
        self.board = Scoreboard(first + workers)
        self.wiring = Wiring.make(logins, admitted)
        self.closed = False
        self._stacks = stacks
        self._children = children
        self._on_login_death = on_login_death
        self.auth = self._pool("auth", self._auth)
        self.nursery = self._pool("nursery", self._nurse)
        self._lifeline, self._life = os.pipe2(os.O_CLOEXEC)  # the nursery sees its end
        self._login: Child | None = None

    def _pool(self, role: str, run: Callable[[int], int]) -> FixedPool:
        slots = self._slots[role]
        log = self.common.log
        return FixedPool(Kind(role, run, self.board, slots.start, len(slots), self._children, log))

    def start(self, now: float) -> None:
        """Fork the first processes of every pool."""
        self._login = self._children.bear(
            "login",
            lambda: births.login(self.common, self.settings, self.wiring, self.board),
            self._login_died,
            now,
        )
        self.auth.refill(now)
        self.nursery.refill(now)

    def ready(self) -> bool:
        """Whether every stage has a process that is at work."""
        return (
            all(self._at_work("login")) and self.auth.kind.ready() and any(self._at_work("worker"))
        )

    def refill(self, now: float) -> float:
        """Fork what is missing; seconds until the next try, 0 when nothing waits."""
        if self.closed and not self.auth.kind.living:
            self.end_births()
        delays = (self.auth.refill(now), self.nursery.refill(now))
        return min((delay for delay in delays if delay), default=0.0)

    def resize(self, number: signal.Signals) -> None:
        """Pass TTIN or TTOU on to the nursery."""
        by = 1 if number == signal.SIGTTIN else -1
        self.pool = resized(self.pool, by, len(self._slots["worker"]))
        for pid in self.nursery.kind.living.values():
            os.kill(pid, number)

    def close(self, heir: Generation | None = None) -> None:
        """Let the generation finish: each stage in turn sees the end of its input."""
        if self.closed:
            return
        self.closed = True
        self.auth.kind.closed = True
        wiring = self.wiring
        kept = [wiring.grants.receive, wiring.grants.send]  # for a nursery that has to be replaced
        if heir is not None and heir.wiring.admitted is wiring.admitted:
            kept += [wiring.admitted.send, wiring.admitted.receive]
        wiring.close(*kept)

    def end_births(self) -> None:
        """Have no worker forked any more."""
        if self.nursery.kind.closed:
            return
        self.nursery.kind.closed = True
        self.wiring.grants.close()
        self.board.close()
        os.close(self._life)
        os.close(self._lifeline)

    def finished(self) -> bool:
        """Whether the last process has ended."""
        return not (self._login or self.auth.kind.living or self.nursery.kind.living)

    def forget(self) -> None:
        """Give up what is left of a generation that has finished."""
        self.end_births()
        self.board.forget()

    def entries(self, role: str) -> list[Entry]:
        """What the processes of a pool are doing: "login", "auth", "nursery" or "worker"."""
        entries = (self.board.read(slot) for slot in self._slots[role])
        return [entry for entry in entries if entry.pid]

    def _at_work(self, role: str) -> list[bool]:
        slots = self._slots[role]
        states = self.board.states(slots.start, slots.stop)
        return [state not in (FREE, STARTING) for state in states]

    def _auth(self, slot: int) -> int:
        return births.auth(self.common, self.settings, self.wiring, self.board, slot)

    def _nurse(self, slot: int) -> int:
        settings, workers = self.settings, self._slots["worker"]
        system = settings.service.users == "system"
        return births.nursery(
            Nursing(
                board=self.board.descriptor,
                slots=self.board.slots,
                slot=slot,
                first_slot=workers.start,
                count=len(workers),
                grants=self.wiring.grants.receive.fileno(),
                asks=self.wiring.grants.send.fileno(),
                log=self.common.log_socket.fileno(),
                stacks=self._stacks,
                lifeline=self._lifeline,
                pool=self.pool,
                maildrop=settings.maildrop,
                state_dir=settings.service.state_dir,
                mechanisms=settings.authentication.mechanisms,
                system=system,
                mail=self.common.identities.mail,
                groups=mail_group(settings.service.mail_group) if system else (),
                statistics=settings.logging.statistics,
                level=self.common.log.level,
                version=self.common.version,
            )
        )

    def _login_died(self, _child: Child, status: int, _now: float) -> None:
        self._login = None
        if not self.closed:
            self._on_login_death(self, status)
