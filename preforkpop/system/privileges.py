"""The only module that changes user ids, groups or the root directory.

Everything that ever runs as root in preforkpop, when it was started as root:

- ``master``: all its life; it reads no octet from the network.
- ``auth``: all its life (PAM and the secrets need it); it reads fixed messages, never a socket of
  a client.
- ``worker``: with system users, from its fork until it is handed a session; then it becomes the
  mailbox's user for good, before the first octet is read from the client.
- ``login``'s parent and ``listener``: from their fork until their keys are read and the chroot is
  made, before any connection. ``logger``: from its fork until it has its descriptors.
- ``inetd``: as the master, for one connection; what reads from it is a login process.

Groups go first, then the gid, then the uid; uid 0 is refused; then comes the proof that there is
no way back.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class PrivilegeError(Exception):
    """Privileges could not be given up completely: the process must end."""


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySet(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_HEADER = _CapabilityHeader(CAPABILITY_VERSION_3, 0)
_SETS = (_CapabilitySet * 2)()


def no_new_privileges() -> None:
    """Make set-user-id programs powerless for this process and its children (prctl(2))."""
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise PrivilegeError("prctl(PR_SET_NO_NEW_PRIVS) failed")


def holds_capabilities() -> bool:
    """Whether this process has any capability, or would hand one on (capget(2))."""
    if _libc.capget(ctypes.byref(_HEADER), _SETS) != 0:
        raise PrivilegeError("capget failed")
    return any(one.effective or one.permitted or one.inheritable for one in _SETS)


def _drop_capabilities() -> None:
    """Give up every capability, those that a service manager gave an ordinary user too."""
    if holds_capabilities():
        none = (_CapabilitySet * 2)()
        if _libc.capset(ctypes.byref(_HEADER), none) != 0:
            raise PrivilegeError("capset failed")


def become(uid: int, gid: int, groups: Sequence[int] = ()) -> None:
    """Become this user for good: supplementary groups, gid, uid, then the proof.

    Does nothing to the ids when the process runs as that user already and is not root; capabilities
    go even then. Raises PrivilegeError for uid 0, for gid 0, and when anything of the old identity
    is left.
    """
    if uid == 0 or gid == 0 or 0 in groups:
        raise PrivilegeError("refusing to serve as root or with group 0")
    no_new_privileges()
    if os.geteuid() != 0:
        if os.getresuid() != (uid, uid, uid):
            raise PrivilegeError(f"cannot become uid {uid} without being root")
        _drop_capabilities()
        _prove_powerless()
        return
    try:
        os.setgroups(list(groups))
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise PrivilegeError(f"cannot become uid {uid} gid {gid}: {error.strerror}") from error
    _drop_capabilities()
    _prove_identity(uid, gid, groups)
    _prove_powerless()


def _prove_identity(uid: int, gid: int, groups: Sequence[int]) -> None:
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise PrivilegeError("the ids did not change as asked")
    if set(os.getgroups()) - {gid} != set(groups) - {gid}:
        raise PrivilegeError("supplementary groups of another identity are left")


def _prove_powerless() -> None:
    if holds_capabilities():
        raise PrivilegeError("capabilities are left")
    for regain in (os.setuid, os.setgid, os.seteuid, os.setegid):
        try:
            regain(0)
        except PermissionError:
            continue
        raise PrivilegeError("root could be regained")


def confine(directory: str) -> None:
    """Change the root to an empty directory. Only root can; call it before ``become``."""
    os.chdir(directory)
    os.chroot(".")
    os.chdir("/")


def hide_memory() -> None:
    """Keep other processes of the same account from reading this one's memory (prctl(2))."""
    _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
