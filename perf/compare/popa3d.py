"""popa3d, which serves system users only: they exist in a mount namespace of its own.

It runs from a small inetd, whose CPU time is counted too. PAM lets everybody in, so that no
password hash is measured; it speaks no TLS and keeps no index.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from compare.server import SYSTEM_USERS, Server, first_line

INETD = Path(__file__).with_name("inetd.py")
PAM = (
    "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n"
)


def program(unpacked: Path | None) -> Path:
    """Installed, or below a package that was unpacked."""
    below = Path("usr/sbin/popa3d")
    return unpacked / below if unpacked and (unpacked / below).exists() else "/" / below


class Popa3d(Server):
    """A process for each session that becomes the user."""

    name = "popa3d"
    virtual = False
    users = SYSTEM_USERS
    has_tls = False
    unpacked: Path | None = None

    @classmethod
    def unavailable(cls) -> str:
        if not program(cls.unpacked).exists():
            return "not installed (optional): apt-get install popa3d"
        if not Path("/etc/pam.d/popa3d").exists():
            return "no /etc/pam.d/popa3d (optional): apt-get install popa3d"
        if not shutil.which("unshare"):
            return "needs unshare(1) of util-linux"
        return "" if os.geteuid() == 0 else "needs root"

    @classmethod
    def version(cls) -> str:
        return first_line(program(cls.unpacked), "-V")

    def configure(self) -> None:
        users = [f"{one.name}:x:{one.uid}:{one.gid}::{one.home}:/bin/sh\n" for one in self.accounts]
        (self.path / "passwd").write_text(Path("/etc/passwd").read_text() + "".join(users))
        (self.path / "pam").write_text(PAM)

    def command(self) -> list[str | Path]:
        mounts = {
            "/etc/passwd": self.path / "passwd",
            "/etc/pam.d/popa3d": self.path / "pam",
            "/var/mail": self.mail_path,
        }
        words = [f"{target}={source}" for target, source in mounts.items()]
        return [sys.executable, INETD, str(self.port), program(self.unpacked), *words]

    def index_directories(self) -> list[Path]:
        return []
