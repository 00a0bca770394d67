"""The directories of the server, made with the right owner and mode.

Run by the master at the start (root when started as root).
"""

from __future__ import annotations

import os
import stat

from preforkpop.config.settings import Settings
from preforkpop.master.births import Identities
from preforkpop.system.accounts import SetupError


def jail_path(run_dir: str) -> str:
    """The empty directory that the processes which talk to clients have as their root."""
    return f"{run_dir}/empty"


def prepare(settings: Settings, identities: Identities) -> None:
    """Make what is missing, refuse what others could meddle with; SetupError."""
    run_dir, state_dir = settings.service.run_dir, settings.service.state_dir
    owner = (os.geteuid(), os.getegid())
    _make("service.run_dir", run_dir, 0o755, owner)
    _make("service.run_dir", jail_path(run_dir), 0o755, owner)
    if os.listdir(jail_path(run_dir)):
        raise SetupError(f"service.run_dir: {jail_path(run_dir)} has to be empty")
    _make("service.state_dir", state_dir, 0o711, owner)
    system = settings.service.users == "system"
    _make("service.state_dir", f"{state_dir}/users", 0o711, owner if system else identities.mail)


def _make(key: str, path: str, mode: int, owner: tuple[int, int]) -> None:
    try:
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            os.makedirs(path, 0o755, exist_ok=True)  # inetd may start several at once
            os.chmod(path, mode)
            if os.geteuid() == 0:
                os.chown(path, *owner)
            found = os.lstat(path)
    except OSError as error:
        raise SetupError(f"{key}: cannot make {path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise SetupError(f"{key}: {path} is not a directory")
    if found.st_uid not in (owner[0], os.geteuid()):
        raise SetupError(f"{key}: {path} belongs to uid {found.st_uid}; uid {owner[0]} is expected")
    if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid != 0):
        raise SetupError(f"{key}: {path} can be written by others; chmod go-w")
    if found.st_uid != owner[0] and os.geteuid() == 0:
        os.chown(path, *owner, follow_symlinks=False)
