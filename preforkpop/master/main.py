"""PROCESS master: opens the sockets, forks the pools, watches, and touches no client.

Root all its life when started as root. It reads no octet from the network: its inputs are signals,
deaths and the control socket. This module is the order of the start and one loop
around one poll; what is decided stands in ``policy``, what the pools do in ``pools``,
``generation`` and ``front``, how the server ends in ``shutdown``.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from preforkpop.config.settings import Settings
from preforkpop.ipc.wiring import Pipe
from preforkpop.master import births, directories, report, workers
from preforkpop.master.control import Answer, Control
from preforkpop.master.front import Front
from preforkpop.master.generation import Generation
from preforkpop.master.logs import Logs, open_target
from preforkpop.master.pidfile import PidFile
from preforkpop.master.shutdown import Shutdown
from preforkpop.master.watchdog import Watchdog
from preforkpop.supervision.children import Children
from preforkpop.supervision.policy import Backoff
from preforkpop.system import process
from preforkpop.system.memory import keep_freed_memory
from preforkpop.system.signals import SignalPipe
from preforkpop.system.sockets import AddressError

SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGCHLD,
)
TICK = 1.0  # seconds between two looks at the pools
WATCH_EVERY = 5.0  # seconds between two looks at every worker's memory and progress
START_LIMIT = 30.0  # seconds for all stages to come to work at the start


class UnusableError(Exception):
    """A configuration that cannot be put in force; the text says why."""


class Master:
    """The server."""

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], tuple[Settings, Iterable[object]]],
        version: str,
    ) -> None:
        """Take everything that can fail: accounts, directories, the pid file, sockets, the log.

        ``load`` reads the configuration anew and tells what is odd about it, or raises
        UnusableError. Raises SetupError, RunningError, AddressError or OSError; there are no
        processes yet then.
        """
        os.umask(0o077)
        self.settings = settings
        self._load = load
        self._version = version
        self._started = time.monotonic()
        identities = births.identities(settings)
        process.forbid_core_dumps()
        keep_freed_memory()
        process.raise_descriptor_limit()
        directories.prepare(settings, identities)
        run_dir = settings.service.run_dir
        self._pid_file = PidFile(run_dir)
        self._logs = Logs(settings)
        self.log = self._logs.log
        self._children = Children(self.log.error)
        self._common = births.Common(
            log=self.log,
            log_socket=self._logs.send,
            identities=identities,
            jail=directories.jail_path(run_dir),
            host=socket.gethostname(),
            version=version,
        )
        self._front = Front(self._common, settings, self._children)
        self._control = Control(
            f"{run_dir}/control",
            {
                "status": self._status,
                "who": self._who,
                "stop": self._stop_asked,
                "reload": self._reload_asked,
            },
        )
        self._signals = SignalPipe(SIGNALS)
        self._shutdown = Shutdown(self._children, self._kill_workers)
        self._watchdog = Watchdog(self.log)
        self._generations: list[Generation] = []
        self._served = False
        self._ticked = self._watched = self._login_due = 0.0
        self._login_backoff = Backoff()

    def run(self, ready: Callable[[], None]) -> int:
        """Serve; ``ready`` is called once, when every stage is at work. The exit status."""
        process.title("master")
        self._pid_file.write()
        gc.collect()
        gc.freeze()
        now = time.monotonic()
        self._logs.start(self._common, self._children, now)
        self._renew(now)
        patience = 0.0
        while not self._shutdown.finished():
            self._wait(patience)
            now = time.monotonic()
            self._handle_signals()
            self._children.reap(now)
            patience = self._look_after(now)
            if not self._served and self._front.ready() and self._generations[-1].ready():
                self._served = True
                self.log.notice(f"preforkpop {self._version} serves, pid {os.getpid()}")
                ready()
        self.log.notice("stopped")
        self._control.close()
        self._logs.close()
        self._shutdown.last("logger")
        self._pid_file.remove()
        return process.EXIT_OK if self._served else process.EXIT_FAILED

    # ------------------------------------------------------------------ the loop

    def _wait(self, seconds: float) -> None:
        poller = select.poll()
        poller.register(self._signals.fileno(), select.POLLIN)
        self._control.register(poller)
        for descriptor, _events in poller.poll(seconds * 1000):
            self._control.ready(descriptor)

    def _handle_signals(self) -> None:
        for number in self._signals.take():
            match number:
                case signal.SIGTERM:
                    self._stop(self.settings.service.shutdown_grace)
                case signal.SIGINT | signal.SIGQUIT:
                    self._stop(0.0)
                case signal.SIGHUP:
                    self._reload()
                case signal.SIGUSR1:
                    self._reopen_log()
                case signal.SIGUSR2:
                    self.log.warning("SIGUSR2: this version cannot upgrade a running server")
                case signal.SIGTTIN | signal.SIGTTOU:
                    self._generations[-1].resize(number)

    def _look_after(self, now: float) -> float:
        """Fork what is missing, look at what lives; seconds until the next time."""
        if self._shutdown.begun:
            self._logs.refill(now)
            self._shutdown.advance(now)
            return 0.1
        if not self._served and now - self._started > START_LIMIT:
            self.log.error(f"not at work after {START_LIMIT:.0f} s")
            self._stop(0.0)
            return 0.0
        delays = [self._logs.refill(now), self._front.refill(now), self._renew_if_due(now)]
        delays += [one.refill(now) for one in self._generations]
        if now - self._ticked >= TICK:
            self._ticked = now
            self._tick(now)
        if not self._served:
            return 0.01
        return min((delay for delay in delays if delay), default=TICK)

    def _tick(self, now: float) -> None:
        if now - self._watched >= WATCH_EVERY:
            self._watched = now
            for one in self._generations:
                self._watchdog.look(one.entries("worker"), one.settings.pool, now)
        for one in [old for old in self._generations[:-1] if old.finished()]:
            self._generations.remove(one)
            one.forget()

    # ------------------------------------------------------------------ generations

    def _renew(self, now: float, admitted: Pipe | None = None) -> None:
        """Start a generation, send clients to it, and let the one before it finish."""
        new = Generation(
            self.settings,
            self._common,
            self._logs.stacks_in,
            self._children,
            self._login_died,
            admitted,
        )
        new.start(now)
        self._generations.append(new)
        self._front.instruct(self.settings, new.wiring.admitted.send)
        if len(self._generations) > 1:
            self._generations[-2].close(new)

    def _login_died(self, generation: Generation, status: int) -> None:
        """The login parent has gone: its login processes finish, a new generation takes over."""
        if self._shutdown.begun or generation is not self._generations[-1]:
            return
        self.log.error(f"the login parent ended by {process.death_text(status)}")
        if not self._served:
            self._stop(0.0)
            return
        now = time.monotonic()
        self._login_backoff.died(now, early=not generation.ready())
        self._login_due = max(now, self._login_backoff.until)

    def _renew_if_due(self, now: float) -> float:
        """Replace a generation whose login parent died; seconds until then, 0 for nothing."""
        if not self._login_due:
            return 0.0
        if self._login_due > now:
            return self._login_due - now
        self._login_due = 0.0
        self._renew(now, self._generations[-1].wiring.admitted)
        return 0.0

    def _kill_workers(self) -> None:
        for one in self._generations:
            for entry in one.entries("worker"):
                workers.send(entry.pid, signal.SIGKILL)

    # ------------------------------------------------------------------ orders

    def _stop(self, grace: float) -> None:
        """End, after at most so many seconds for the sessions; asked again, sooner."""
        if not self._shutdown.begun:
            self.log.notice(f"stopping, sessions have {grace:.0f} s" if grace else "stopping now")
            self._front.close()
            for one in self._generations:
                one.close()
                one.end_births()
        self._shutdown.begin(time.monotonic(), grace)

    def _reload(self) -> str:
        """Put a new configuration in force, or keep the old one and say why."""
        if self._shutdown.begun:
            return "the server is stopping"
        try:
            settings, warnings = self._load()
            _refuse_moves(self.settings, settings)
            target = open_target(settings.logging.target)
            self._front.sockets.open(settings.listeners)
        except (UnusableError, AddressError, OSError) as error:
            for line in str(error).splitlines():
                self.log.error(f"not reloaded, the old configuration stays: {line}")
            return str(error)
        for warning in warnings:
            self.log.warning(str(warning))
        self.settings = settings
        self._front.sockets.keep(settings.listeners)
        self._logs.change(settings, target)
        self._renew(time.monotonic())
        self.log.notice("reloaded")
        return ""

    def _reopen_log(self) -> None:
        try:
            target = open_target(self.settings.logging.target)
        except OSError as error:
            self.log.error(f"{self.settings.logging.target}: {error.strerror}; the old log stays")
            return
        self._logs.change(self.settings, target)

    # ------------------------------------------------------------------ the control socket

    def _status(self, _request: Mapping[str, Any]) -> Answer:
        now = time.monotonic()
        return {
            "version": self._version,
            "pid": os.getpid(),
            "uptime": round(now - self._started, 1),
            "stopping": self._shutdown.begun,
            "shutdown_grace": self.settings.service.shutdown_grace,
            "listeners": [one.address for one in self.settings.listeners],
            "accepted": self._front.accepted(),
            **report.status(self._generations, now),
        }

    def _who(self, _request: Mapping[str, Any]) -> Answer:
        return {"sessions": report.sessions(self._generations, time.monotonic())}

    def _stop_asked(self, request: Mapping[str, Any]) -> Answer:
        self._stop(0.0 if request.get("now") else self.settings.service.shutdown_grace)
        return {"pid": os.getpid()}

    def _reload_asked(self, _request: Mapping[str, Any]) -> Answer:
        wrong = self._reload()
        return {"error": wrong} if wrong else {"reloaded": True}


def _refuse_moves(old: Settings, new: Settings) -> None:
    """What a running server cannot change."""
    for name in ("users", "mail_user", "login_user", "run_dir", "state_dir"):
        if getattr(old.service, name) != getattr(new.service, name):
            raise UnusableError(f"service.{name}: a change of it needs a restart")
