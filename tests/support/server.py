"""The real server, started at a site, watched, and looked at after its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, Any

from preforkpop.cli.client import ask
from tests.support.client import Client
from tests.support.processes import Process, of_session
from tests.support.site import Site
from tests.support.waiting import PATIENCE, wait_until

FAULTS = re.compile(r"Traceback|by a fault|ended by|died in a session|is stuck")
"""Lines of the log that no test wants without saying so."""

_TAKEN = "Address already in use"


class Lines:
    """What a program writes, line by line, as soon as it does."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self.ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            with self._changed:
                self._lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._lines)

    def since(self, number: int = 0) -> list[str]:
        """The lines from this one on."""
        with self._changed:
            return self._lines[number:]

    def find(self, pattern: str, since: int = 0) -> list[str]:
        """The lines so far in which the pattern is found."""
        return [line for line in self.since(since) if re.search(pattern, line)]

    def wait(self, pattern: str, since: int = 0, seconds: float = PATIENCE) -> str:
        """The first line in which the pattern is found, now or later."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                for line in self._lines[since:]:
                    if re.search(pattern, line):
                        return line
                assert not self.ended, f"the log ended without {pattern!r}:\n{self._text()}"
                left = deadline - time.monotonic()
                assert left > 0, f"no {pattern!r} within {seconds:.0f} s in:\n{self._text()}"
                self._changed.wait(left)

    def wait_end(self, seconds: float = PATIENCE) -> list[str]:
        """All lines, when nobody is left that could write more."""
        self._thread.join(seconds)
        assert self.ended, f"somebody still holds the log open:\n{self._text()}"
        self._stream.close()
        return self._lines

    def _text(self) -> str:
        return "\n".join(self._lines)


class StartError(Exception):
    """The server did not come to serve; what it wrote."""


class Server:
    """A running server in the foreground."""

    def __init__(self, site: Site) -> None:
        """Start it and wait until it serves."""
        self.site = site
        self._expected: list[str] = []
        for _attempt in range(5):
            if self._start():
                return
            site.move_ports()
        raise StartError("five times somebody else took the port")

    def _start(self) -> bool:
        self.process = subprocess.Popen(
            self.site.command("serve"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
            **self.site.identity,
        )
        assert self.process.stderr is not None
        self.log = Lines(self.process.stderr)
        try:
            self._wait_ready()
        except AssertionError as error:
            self.kill()
            self.log.wait_end()
            if _TAKEN in str(error):
                return False
            raise StartError(str(error)) from None
        return True

    def _wait_ready(self) -> None:
        target = self.site.settings["logging"]["target"]
        if target == "stderr":
            self.log.wait(r" serves, pid \d+$")
            return
        file = Path(target)
        wait_until(
            lambda: self.log.ended or (file.exists() and " serves, pid " in file.read_text()),
            "the server serves",
        )
        assert not self.log.ended, "\n".join(self.log.since())

    @property
    def pid(self) -> int:
        """The master's."""
        return self.process.pid

    # ------------------------------------------------------------------ clients

    def client(self, *, tls: str = "off", source: str = "") -> Client:
        """A new connection, greeted; ``tls``: "off", "stls" or "implicit"."""
        implicit = tls == "implicit"
        port = self.site.tls_port if implicit else self.site.port
        client = Client(port, tls=tls, source=source).greet()
        if tls == "stls":
            client.stls()
        return client

    def session(self, user: str = "fred", *, tls: str = "off") -> Client:
        """A new session, logged in."""
        client = self.client(tls=tls)
        client.log_in(user, self.site.user(user).password)
        return client

    # ------------------------------------------------------------------ looking in

    def ask(self, command: str, **words: object) -> dict[str, Any]:
        """Ask over the control socket."""
        return ask(str(self.site.config), command, **words)

    def status(self) -> dict[str, Any]:
        """The numbers of ``preforkpop status``."""
        return self.ask("status")

    def who(self) -> list[dict[str, Any]]:
        """The sessions of ``preforkpop who``."""
        found: list[dict[str, Any]] = self.ask("who")["sessions"]
        return found

    def processes(self, title: str = "") -> list[Process]:
        """The server's processes whose title begins so: "worker", "login", "login, parent" ..."""
        found = of_session(self.pid)
        if not title:
            return found
        pattern = re.compile(rf"preforkpop: {re.escape(title)}(?![\w,])")
        if title in ("worker", "login, parent"):
            pattern = re.compile(rf"preforkpop: {re.escape(title)}")
        return [one for one in found if pattern.match(one.title)]

    def process_of(self, user: str) -> Process:
        """The worker that serves a user; the one before it may just be ending."""
        pids = [one["pid"] for one in self.who() if one["user"] == user]
        assert pids, f"no worker serves {user}"
        return Process(pids[-1])

    def wait_quiet(self) -> None:
        """Wait until nobody is connected and a spare worker is there."""
        wait_until(self._quiet, "a server without clients and with spare workers")

    def _quiet(self) -> bool:
        found = self.status()
        workers = found["workers"]
        at_work = workers["busy"] + workers["waiting"] + found["login"]["connections"]
        return not at_work and not found["sessions"] and workers["idle"] > 0

    # ------------------------------------------------------------------ the end

    def expect(self, pattern: str) -> None:
        """Do not mind this fault in the log."""
        self._expected.append(pattern)

    def send_signal(self, number: int) -> None:
        """Send a signal to the master."""
        os.kill(self.pid, number)

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it, if it has not been, and look at what it leaves."""
        if self.process.poll() is None:
            self.send_signal(number)
        self.ended()

    def ended(self, seconds: float = PATIENCE, status: int = 0) -> None:
        """Wait for its end, and look at what it leaves."""
        try:
            found = self.process.wait(seconds)
            self._no_process_is_left()
            lines = self.log.wait_end()
        finally:
            self.kill()
        assert found == status, f"exit status {found}:\n" + "\n".join(lines)
        left = sorted(os.listdir(self.site.run_dir))
        assert left == ["empty"], f"left in the run directory: {left}"
        assert not os.listdir(self.site.run_dir / "empty")
        self.check_log()

    def check_log(self) -> None:
        """No fault stands in the log but those that are expected."""
        faults = [
            line
            for line in self.log.find(FAULTS.pattern)
            if not any(re.search(expected, line) for expected in self._expected)
        ]
        assert not faults, "faults in the log:\n" + "\n".join(faults)

    def _no_process_is_left(self) -> None:
        left = [f"{one.pid} {one.title}" for one in of_session(self.pid)]
        assert not left, f"processes are left: {left}"

    def kill(self) -> None:
        """Whatever a test has done: no process of the server outlives it."""
        for one in of_session(self.pid):
            os.kill(one.pid, signal.SIGKILL)
        self.process.wait()
