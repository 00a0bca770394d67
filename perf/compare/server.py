"""What all servers have in common: their own mailboxes, a start, an end, what they use."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

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
SETTLE_SECONDS = 0.15  # for what a server does after the last client has gone


class ServerError(Exception):
    """A server that cannot be measured, and why."""


class Server:
    """One server with one configuration. Sub-classes write it and know the command."""

    name = ""
    virtual = True  # one account owns all mail; else each mailbox has a uid of its own
    missing = ""  # why it cannot run here

    def __init__(self, place: Place, mail: Mailboxes, form: str, key: str) -> None:
        self.path = make_directory(place.path / f"{self.name}-{form}-{key}-{mail.path.name}")
        self.form = form
        self.certificate = place.certificates[key]
        self.mail_owner = place.mail_owner
        self.port, self.tls_port = free_ports(2)
        self.accounts = place.accounts(mail.names, self.path / "home", virtual=self.virtual)
        self._meter: Meter | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._make_mail(mail)
        self.users_file = self.path / "users"
        self.users_file.write_text("".join(one.passwd_line() for one in self.accounts))
        self.users_file.chmod(0o644)
        self.configure()

    # -- what sub-classes say --

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
        make_directory(self.mail_path, 0, self.mail_owner.pw_gid, 0o2775)
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
        self._meter = meter(self.path.name)
        with (self.path / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.path,
                start_new_session=True,
                preexec_fn=self._meter.adopt,
            )
        for port in (self.port, self.tls_port):
            self._wait_for(port)

    def _wait_for(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            time.sleep(0.05)
        raise ServerError(f"{self.name} did not start:\n{self.last_words()}")

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"{self.name}: no end within {STOP_SECONDS} s, killed", file=sys.stderr)
            self._process.kill()
            self._process.wait()
        self._meter.close()
        self._process = self._meter = None

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
        return self._meter.cpu()

    def memory(self) -> int:
        return pss(self.processes())

    def processes(self) -> list[int]:
        return self._meter.processes()
