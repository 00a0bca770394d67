"""Accounts and groups that the configuration names.

Used by the master and by auth processes, as root when the server was started as root, and by
``config check``. Only names of the configuration are looked up here, never a client's.
"""

from __future__ import annotations

import grp
import os
import pwd
from typing import Final

FALLBACK: Final = "nobody"
"""The login user when the configured one does not exist."""


class SetupError(Exception):
    """The configuration cannot work on this machine; the text begins with the key that is wrong."""


def login_user(name: str) -> tuple[int, int]:
    """Return uid and gid of the processes that talk to clients; SetupError without an account."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        name = FALLBACK
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise SetupError(f'service.login_user: there is no account "{name}"') from None
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        raise SetupError(f'service.login_user: "{name}" is root or has group 0')
    return entry.pw_uid, entry.pw_gid


def mail_user(name: str) -> tuple[int, int]:
    """Return uid and gid of the account that owns all virtual mail; SetupError without one."""
    if not name:
        if os.geteuid() == 0:
            raise SetupError("service.mail_user: has to name an account when started as root")
        return os.geteuid(), os.getegid()
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise SetupError(f'service.mail_user: there is no account "{name}"') from None
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        raise SetupError(
            f'service.mail_user: "{name}" is root or has group 0; mail cannot be root\'s'
        )
    return entry.pw_uid, entry.pw_gid


def mail_group(name: str) -> tuple[int, ...]:
    """Return the gid that lets workers create dot-locks, () for no name; SetupError without one."""
    if not name:
        return ()
    try:
        gid = grp.getgrnam(name).gr_gid
    except KeyError:
        raise SetupError(f'service.mail_group: there is no group "{name}"; "" for none') from None
    if gid == 0:
        raise SetupError("service.mail_group: group 0 is never given to a worker")
    return (gid,)
