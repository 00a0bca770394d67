"""A place for a server: directories, users, certificate, configuration, mail.

Three ways of running it are tried: as root with virtual users, as root with system users, and by
somebody who is not root. As root the last one is nobody.
"""

from __future__ import annotations

import contextlib
import enum
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support import mailboxes, toml
from tests.support.certificates import authority, issue
from tests.support.environment import OWN, programs_for_everybody

IS_ROOT = os.geteuid() == 0
FIRST_UID = 64100
"""Of users that only the passwd-file knows: Debian gives nobody uids from here to 64999."""

VIRTUAL_OWNER = "mail"


class Deployment(enum.Enum):
    """How the server is run."""

    VIRTUAL = "virtual"
    SYSTEM = "system"
    ORDINARY = "ordinary"


USUAL = Deployment.VIRTUAL if IS_ROOT else Deployment.ORDINARY


@dataclass(frozen=True, slots=True)
class User:
    """Who has mail."""

    name: str
    password: str
    uid: int  # that the mail belongs to
    gid: int

    @property
    def owner(self) -> tuple[int, int]:
        """Uid and gid."""
        return self.uid, self.gid


class Site:
    """Everything a server needs, in a directory of its own."""

    def __init__(
        self,
        deployment: Deployment = USUAL,
        users: Iterable[str] = ("fred",),
        *,
        mail_format: str = "mbox",
        password: str = "secret",
        settings: toml.Settings | None = None,
    ) -> None:
        self.deployment = deployment
        self.mail_format = mail_format
        self.directory = Path(tempfile.mkdtemp(prefix="preforkpop-test-"))
        self.directory.chmod(0o755)
        self.starter = self._starter()
        self.users = {
            name: User(name, password, *self._owner(number)) for number, name in enumerate(users)
        }
        self.mail = self.directory / "mail"
        self.run_dir = self.directory / "run"
        self.config = self.directory / "preforkpop.toml"
        self.authority = self.directory / "authority.pem"
        authority().cert_pem.write_to_path(str(self.authority))
        self.certificate = issue(str(self.directory), "localhost", "127.0.0.1")
        self.port, self.tls_port = free_ports(2)
        self.settings: dict[str, Any] = {}
        self._make_mail_directory()
        self.write_users()
        self.configure(toml.merge(self._usual(), settings or {}))
        self.give_away()

    def remove(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.directory)

    # ------------------------------------------------------------------ who

    def _starter(self) -> tuple[int, int]:
        """Who runs the master."""
        if self.deployment is Deployment.ORDINARY and IS_ROOT:
            return nobody()
        return os.geteuid(), os.getegid()

    def _owner(self, number: int) -> tuple[int, int]:
        match self.deployment:
            case Deployment.SYSTEM:
                return FIRST_UID + number, FIRST_UID + number
            case Deployment.VIRTUAL:
                entry = pwd.getpwnam(VIRTUAL_OWNER)
                return entry.pw_uid, entry.pw_gid
        return self.starter

    def user(self, name: str = "fred") -> User:
        """A user of the site."""
        return self.users[name]

    def write_users(self) -> None:
        """The passwd-file."""
        system = self.deployment is Deployment.SYSTEM
        lines = [
            f"{one.name}:{{PLAIN}}{one.password}" + f":{one.uid}:{one.gid}:::" * system + "\n"
            for one in self.users.values()
        ]
        new = self.directory / "users.new"
        new.write_text("".join(lines))
        new.chmod(0o600)
        os.chown(new, *self.starter)
        new.rename(self.directory / "users")

    def change_password(self, name: str, password: str) -> None:
        """Another password in the passwd-file, which is replaced in one step."""
        self.users[name] = replace(self.users[name], password=password)
        self.write_users()

    def _make_mail_directory(self) -> None:
        self.mail.mkdir()
        if self.deployment is Deployment.SYSTEM:
            shutil.chown(self.mail, "root", "mail")
            self.mail.chmod(0o2775)
        else:
            os.chown(self.mail, *self._owner(0))
            self.mail.chmod(0o700)

    def give_away(self, *files: str) -> None:
        """Who is not root needs a directory to make others in, and to read the keys."""
        if self.starter != (os.geteuid(), os.getegid()):
            for path in (str(self.directory), self.certificate, *files):
                os.chown(path, *self.starter)

    # ------------------------------------------------------------------ the configuration

    def _usual(self) -> dict[str, Any]:
        virtual = self.deployment is Deployment.VIRTUAL
        return {
            "service": {
                "users": "system" if self.deployment is Deployment.SYSTEM else "virtual",
                "mail_user": VIRTUAL_OWNER if virtual else "",
                "run_dir": str(self.run_dir),
                "state_dir": str(self.directory / "state"),
            },
            "listeners": self.listeners(),
            "tls": {"certificate": self.certificate},
            "pool": {
                "start_workers": 2,
                "minimum_spare": 1,
                "maximum_spare": 4,
                "maximum_workers": 40,
            },
            "login": {"processes": 2},
            "authentication": {
                "mechanisms": ["USER", "APOP", "PLAIN"],
                "clear_text_password": "local",
                "failure_delay": 0,
                "sources": [{"type": "passwd-file", "path": str(self.directory / "users")}],
            },
            "maildrop": {"format": self.mail_format, "path": f"{self.mail}/{{user}}"},
            "logging": {"target": "stderr"},
        }

    def listeners(self) -> list[dict[str, str]]:
        """The usual two, with the site's ports."""
        return [
            {"address": f"127.0.0.1:{self.port}", "tls": "stls"},
            {"address": f"127.0.0.1:{self.tls_port}", "tls": "implicit"},
        ]

    def configure(self, changes: toml.Settings) -> None:
        """Change settings and write the file."""
        self.settings = toml.merge(self.settings, changes)
        self.config.write_text(toml.write(self.settings))

    def log_to_file(self) -> Path:
        """Have the server write its log into a file; the file."""
        log = self.directory / "log"
        self.configure({"logging": {"target": str(log)}})
        return log

    def move_ports(self) -> None:
        """Take other ports: somebody was quicker."""
        self.port, self.tls_port = free_ports(2)
        self.configure({"listeners": self.listeners()})

    # ------------------------------------------------------------------ mail

    def spool(self, name: str = "fred") -> Path:
        """Where a user's mail is."""
        return self.mail / name

    def put(self, messages: Sequence[bytes], name: str = "fred") -> None:
        """Fill a maildrop that nobody uses, as a delivery agent would have."""
        write = mailboxes.write_maildir if self.mail_format == "maildir" else mailboxes.write_mbox
        write(self.spool(name), messages, self.user(name).owner)

    def clear(self, name: str = "fred") -> None:
        """Remove a maildrop that nobody uses, whatever it is."""
        spool = self.spool(name)
        if spool.is_dir() and not spool.is_symlink():
            shutil.rmtree(spool)
        else:
            spool.unlink(missing_ok=True)

    def stored(self, name: str = "fred") -> list[bytes]:
        """The messages that are there, in their order."""
        spool = self.spool(name)
        if self.mail_format == "maildir":
            return mailboxes.read_maildir(spool)
        return mailboxes.read_mbox(spool) if spool.exists() else []

    def client_directory(self, name: str) -> Path:
        """A directory for a program that fetches mail; as root it is nobody's."""
        path = self.directory / f"client-{name}"
        path.mkdir(mode=0o700)
        os.chown(path, *(nobody() if IS_ROOT else self.starter))
        return path

    # ------------------------------------------------------------------ programs

    @property
    def programs(self) -> Path:
        """Where who starts the server has ``python`` and ``preforkpop``."""
        return programs_for_everybody() if self.identity else OWN

    def command(self, *words: str) -> list[str]:
        """``preforkpop WORDS --config FILE``."""
        return [str(self.programs / "preforkpop"), *words, "--config", str(self.config)]

    def run(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as who starts the server."""
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd="/",
            **self.identity,
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What makes ``subprocess`` start a program as who starts the server."""
        return as_account(*self.starter)


def nobody() -> tuple[int, int]:
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def as_account(uid: int, gid: int, groups: Sequence[int] = ()) -> dict[str, Any]:
    """What makes ``subprocess`` start a program as another account; nothing for the own one."""
    if (uid, gid) == (os.geteuid(), os.getegid()):
        return {}
    return {"user": uid, "group": gid, "extra_groups": list(groups)}


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
