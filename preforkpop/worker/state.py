"""The directory in which a user's lock, index and journal lie: ``state_dir/users/NAME``.

Made by a worker before it becomes the user (system users: as root, below a directory that only root
can write to) or as the account that owns all mail (virtual users).
"""

from __future__ import annotations

import os
import stat

from preforkpop.maildrop.mbox.mark import NAME as JOURNAL


class StateError(Exception):
    """A state directory that cannot be used; the text names it and what to do."""


def users_directory(state_dir: str) -> str:
    """The directory that holds all users' directories."""
    return f"{state_dir}/users"


def ensure(state_dir: str, user: str, uid: int, gid: int) -> str:
    """The user's directory, made if it is missing: mode 0700, owned by the user."""
    path = f"{users_directory(state_dir)}/{user}"
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return _make(path, uid, gid)
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}") from error
    if stat.S_ISDIR(found.st_mode) and found.st_uid == 0 == os.geteuid() != uid:
        _give(path, uid, gid)  # only root can have made it here, and was killed before this
        return path
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid:
        raise StateError(f"{path} is not a directory of uid {uid}: move it away, or chown it")
    return path


def find(state_dir: str, user: str) -> tuple[str, int, int]:
    """A user's directory, the uid and the gid that own it; StateError when there is none.

    The name may come from shared memory that processes which talk to clients can write to.
    """
    path = f"{users_directory(state_dir)}/{user}"
    if not user or "/" in user or user.startswith("."):
        raise StateError(f"no user has the name {user!r}")
    try:
        found = os.lstat(path)
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise StateError(f"{path} is not a user's directory")
    return path, found.st_uid, found.st_gid


def unfinished(state_dir: str) -> list[str]:
    """The users whose last session died with a lock on the spool or within an update."""
    found = []
    with os.scandir(users_directory(state_dir)) as users:
        for user in users:
            try:
                os.lstat(f"{user.path}/{JOURNAL}")
            except OSError:
                continue
            found.append(user.name)
    return sorted(found)


def _make(path: str, uid: int, gid: int) -> str:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass  # another worker of the same user was quicker
    except OSError as error:
        raise StateError(f"cannot make {path}: {error.strerror}; check state_dir") from error
    if os.geteuid() == 0:
        _give(path, uid, gid)
    return path


def _give(path: str, uid: int, gid: int) -> None:
    try:
        os.chown(path, uid, gid, follow_symlinks=False)
    except OSError as error:
        raise StateError(f"cannot chown {path}: {error.strerror}; check state_dir") from error
