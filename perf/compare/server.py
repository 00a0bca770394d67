"""What all servers have in common: their own mailboxes, a start, an end, what they use."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mkmail import PASSWORD

from compare.meter import Meter, meter, pss
from compare.place import (
    Account,
    Mailboxes,
    Place,
    free_ports,
    give_mailbox,
    make_directory,
)

START_SECONDS = 15
STOP_SECONDS = 10
SYSTEM_USERS = 24  # users with a uid each: enough for 16 clients
QUIET_SECONDS = 3  # since the mailboxes were written: a server may distrust younger ones
SETTLE_SECONDS = 0.15  # for what a server does after the last client has gone


def first_line(*command: str | Path) -> str:
    """Return the first line that a command prints, "" if it cannot."""
    with contextlib.suppress(OSError):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.splitlines()[0].strip()
    return ""


class ServerError(Exception):
    """A server that cannot be measured, and why."""


@dataclass(frozen=True)
class Running:
    """A server's first process, and what counts them all."""

    process: subprocess.Popen[bytes]
    meter: Meter


class Server:
    """One server with one configuration. Sub-classes write it and know the command."""

    name = ""
    virtual = True  # one account owns all mail; else each mailbox has a uid of its own
    has_tls = True
    users = 0  # how many of the mailboxes it serves; 0: all

    def __init__(self, place: Place, mail: Mailboxes, form: str, key: str) -> None:
        self.path = make_directory(place.path / f"{self.name}-{form}-{key}-{mail.path.name}")
        self.form = form
        self.certificate = place.certificates[key]
        self.mail_owner = place.mail_owner
        self.port, self.tls_port = free_ports(2)
        names = mail.names[: self.users or None]
        self.accounts = place.accounts(names, self.path / "home", virtual=self.virtual)
        self._running: Running | None = None
        self._make_mail(mail)
        self.users_file = self.path / "users"
        self.users_file.write_text("".join(one.passwd_line() for one in self.accounts))
        self.users_file.chmod(0o644)
        self.logins = self.path / "logins"  # for popbench
        self.logins.write_text("".join(f"{one.name}:{PASSWORD}\n" for one in self.accounts))
        self._written = time.monotonic()
        self.configure()

    # -- what sub-classes say --

    @classmethod
    def unavailable(cls) -> str:
        """Say why it cannot run here, and what to do; "" if it can."""
        raise NotImplementedError

    @classmethod
    def version(cls) -> str:
        """Return its version."""
        raise NotImplementedError

    def configure(self) -> None:
        """Write the configuration."""
        raise NotImplementedError

    def command(self) -> list[str | Path]:
        """Start the server in the foreground."""
        raise NotImplementedError

    def index_directories(self) -> list[Path]:
        """Name what a first login builds and a second one uses."""
        raise NotImplementedError

    # -- mail --

    @property
    def mail_path(self) -> Path:
        return self.path / "mail"

    def _make_mail(self, mail: Mailboxes) -> None:
        # As /var/mail is on Debian: the group may make dot-locks, a user may write a mailbox only.
        make_directory(self.mail_path, -1, self.mail_owner.pw_gid, 0o2775)
        if self.virtual:
            self.mail_path.chmod(0o2770)
        make_directory(self.path / "home")
        for account in self.accounts:
            make_directory(account.home, account.uid, account.gid, 0o700)
            self._give(mail, account)

    def _give(self, mail: Mailboxes, account: Account) -> None:
        source = mail.path / self.form / account.name
        give_mailbox(source, self.mail_path / account.name, account)

    # -- life --

    def start(self) -> None:
        time.sleep(max(0, self._written + QUIET_SECONDS - time.monotonic()))
        counting = meter(self.path.name)
        try:
            self._running = Running(self._execute(counting), counting)
        except OSError as error:
            counting.close()
            raise ServerError(f"{self.name} did not start: {error}") from error
        for port in (self.port, self.tls_port) if self.has_tls else (self.port,):
            self._wait_for(port)

    def _execute(self, counting: Meter) -> subprocess.Popen[bytes]:
        with (self.path / "output").open("ab") as output:
            return subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.path,
                start_new_session=True,
                preexec_fn=counting.adopt,  # noqa: PLW1509 - there are no threads here
            )

    @property
    def running(self) -> Running:
        assert self._running, f"{self.name} is not running"
        return self._running

    def _wait_for(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.running.process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            time.sleep(0.05)
        raise ServerError(f"{self.name} did not start:\n{self.last_words()}")

    def stop(self) -> None:
        if self._running is None:
            return
        process = self.running.process
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"{self.name}: no end within {STOP_SECONDS} s, killed", file=sys.stderr)
            process.kill()
            process.wait()
        self.running.meter.close()
        self._running = None

    def forget(self) -> None:
        """Remove the indexes, so that the next login is a first one."""
        for directory in self.index_directories():
            for entry in directory.iterdir() if directory.is_dir() else ():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def remove(self) -> None:
        shutil.rmtree(self.path)

    def last_words(self) -> str:
        """Return the end of what it wrote to its log and its output."""
        text = ""
        for name in ("output", "log"):
            with contextlib.suppress(OSError):
                text += (self.path / name).read_text(errors="replace")[-1500:]
        return text

    # -- what it uses --

    def cpu(self) -> float:
        time.sleep(SETTLE_SECONDS)
        return self.running.meter.cpu()

    def memory(self) -> int:
        return pss(self.processes())

    def processes(self) -> list[int]:
        return self.running.meter.processes()
