"""The temporary directory of a run: mailboxes, users, certificates, a copy for each server."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import mkmail
from mkmail import PASSWORD

FIRST_UID = 41000  # of the users with a uid each: nobody's on an ordinary machine
KEYS = {
    "rsa": ["-newkey", "rsa:2048"],
    "ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
}


@dataclass(frozen=True)
class Account:
    """Who owns a mailbox."""

    name: str
    uid: int
    gid: int
    home: Path

    def passwd_line(self) -> str:
        """In a passwd-file, as Dovecot and preforkpop read it."""
        return f"{self.name}:{{PLAIN}}{PASSWORD}:{self.uid}:{self.gid}::{self.home}::\n"


@dataclass(frozen=True)
class Mailboxes:
    """What mkmail made, and where."""

    path: Path
    names: tuple[str, ...]

    @property
    def users(self) -> Path:
        return self.path / "users"

    def manifest(self, form: str) -> Path:
        return self.path / f"manifest.{form}"


class Place:
    """A directory that only lives as long as the run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.chmod(0o711)  # the servers' users have to get through, nobody else has to look around
        root = os.geteuid() == 0
        self.mail_owner = pwd.getpwnam("mail") if root else pwd.getpwuid(os.geteuid())
        self.certificates = {kind: self._certificate(kind) for kind in KEYS}

    def _certificate(self, kind: str) -> Path:
        path, key = self.path / f"{kind}.pem", self.path / f"{kind}.key"
        words = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        words += [*KEYS[kind], "-keyout", str(key), "-out", str(path)]
        subprocess.run(words, check=True, capture_output=True)
        path.write_text(path.read_text() + key.read_text())
        key.unlink()
        path.chmod(0o600)
        return path

    def make_mail(self, name: str, shape: mkmail.Shape, forms: tuple[str, ...]) -> Mailboxes:
        path = self.path / name
        mkmail.make(path, shape, forms)
        names = [line.partition(":")[0] for line in (path / "users").read_text().splitlines()]
        return Mailboxes(path, tuple(names))

    def accounts(self, names: tuple[str, ...], home: Path, *, virtual: bool) -> list[Account]:
        """Virtual users share the account "mail"; the others have a uid and a gid each."""
        owner = self.mail_owner
        if virtual:
            return [Account(name, owner.pw_uid, owner.pw_gid, home / name) for name in names]
        numbered = enumerate(names, FIRST_UID)
        return [Account(name, number, number, home / name) for number, name in numbered]


def give_mailbox(source: Path, target: Path, account: Account) -> None:
    """Copy a mailbox so that it belongs to the account. Times are kept: Dovecot orders by them."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
    for path in [target, *target.rglob("*")]:
        os.chown(path, account.uid, account.gid)
        path.chmod(0o700 if path.is_dir() else 0o600)


def make_directory(path: Path, uid: int = -1, gid: int = -1, mode: int = 0o755) -> Path:
    path.mkdir(parents=True)
    os.chown(path, uid, gid)
    path.chmod(mode)
    return path


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
