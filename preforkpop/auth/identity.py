"""Who a user is to the system: the name, the ids, the path of the maildrop.

Run by the auth process. A name comes from a client, so nothing is expanded in it and whatever could
lead a path elsewhere is refused before it is looked up.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from preforkpop.auth.credentials import Authenticated, Refusal, SetupError, wrong
from preforkpop.system.accounts import mail_group, mail_user
from preforkpop.system.log import escape

MAXIMUM_NAME: Final = 240
"""Octets of a user name. It becomes a file name with room for ".lock" (NAME_MAX is 255)."""

BLOCKED_UID: Final = 10
"""Uids up to this one are the system's own and have no mail: Qpopper's BLOCK_UID."""

REMEMBERED_SECONDS: Final = 60.0
"""getpwnam and getgrouplist take 0.1 ms from files and more over a network."""

_MAXIMUM_REMEMBERED: Final = 16384

_UPPER: Final = bytes(range(65, 91))
_FOLD: Final = bytes.maketrans(_UPPER, _UPPER.lower())
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f/]")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


class Service(Protocol):
    """What is read of the section ``service``, which is another process's to declare."""

    @property
    def users(self) -> str:
        """Say "system" or "virtual"."""

    @property
    def mail_user(self) -> str:
        """Name the account that owns all virtual mail."""

    @property
    def mail_group(self) -> str:
        """Name the group that may create dot-locks."""


@dataclass(frozen=True, slots=True)
class Account:
    """For whom a worker serves a session, and where that mail is."""

    user: str
    uid: int
    gid: int
    groups: tuple[int, ...]  # supplementary, never 0
    home: str  # "" when the source does not tell
    path: str  # of the maildrop


class PathError(Exception):
    """The path of the maildrop needs something that this user does not have."""


# -- names ----------------------------------------------------------------------------------


def user_name(octets: bytes, *, downcase: bool, trim_domain: bool) -> str | None:
    """Read a user name as it is looked up; None for one that cannot exist.

    In Qpopper's order: ASCII letters are folded, then everything from the first ``@`` is cut.
    """
    if downcase:
        octets = octets.translate(_FOLD)
    if trim_domain:
        octets = octets.partition(b"@")[0]
    try:
        name = octets.decode()
    except UnicodeDecodeError:
        return None
    return name if valid_name(name) else None


def valid_name(name: str) -> bool:
    """Whether a name may become part of a path: no slash, no control, no leading dot or dash.

    A domain behind ``@`` is held to the same, as ``{domain}`` may stand alone between slashes.
    """
    if not name or name[0] in ".-@" or len(name.encode()) > MAXIMUM_NAME:
        return False
    if _FORBIDDEN.search(name):
        return False
    _, at, domain = name.partition("@")
    return not at or (bool(domain) and domain[0] not in ".-@")


# -- the path of a maildrop -----------------------------------------------------------------


def hash1(name: str) -> str:
    """Qpopper's hash-spool 1: the sum of the first five octets, modulo 26, as a letter."""
    return chr(ord("a") + sum(name.encode()[:5]) % 26)


def hash2(name: str) -> str:
    """Qpopper's hash-spool 2: first and second character; a name of one character repeats it."""
    return f"{name[0]}/{name[1:2] or name[0]}"


_PARTS: Final[dict[str, Callable[[str, str], str]]] = {
    "user": lambda name, _home: name,
    "name": lambda name, _home: name.partition("@")[0],
    "domain": lambda name, _home: name.partition("@")[2],
    "home": lambda _name, home: home.rstrip("/"),
    "hash1": lambda name, _home: hash1(name),
    "hash2": lambda name, _home: hash2(name),
}


def check_path(template: str) -> None:
    """SetupError when ``maildrop.path`` is not absolute or has an unknown placeholder."""
    if not template.startswith(("/", "{home}")):
        raise SetupError(f'maildrop.path: "{template}" is not an absolute path')
    for placeholder in _PLACEHOLDER.findall(template):
        if placeholder not in _PARTS:
            known = " ".join(f"{{{part}}}" for part in _PARTS)
            raise SetupError(f"maildrop.path: {{{placeholder}}} does not exist; there are {known}")


def expand(template: str, name: str, home: str) -> str:
    """Fill in the path of a maildrop; PathError when a part of it would be empty.

    One pass: what a name or a home directory contains is never expanded again.
    """

    def part(match: re.Match[str]) -> str:
        value = _PARTS[match[1]](name, home)
        if not value:
            raise PathError(f"maildrop.path needs {match[0]}, and the user has none")
        return value

    path = _PLACEHOLDER.sub(part, template)
    if not path.startswith("/") or "\0" in path:
        raise PathError("the path of the maildrop is not absolute")
    return path


# -- accounts -------------------------------------------------------------------------------


class Accounts:
    """Makes accounts of authenticated users, and remembers each for a minute."""

    __slots__ = ("_mail", "_mail_group", "_path", "_remembered", "_virtual")

    def __init__(self, service: Service, path: str) -> None:
        """SetupError when mail_user, mail_group or the path cannot be used."""
        check_path(path)
        self._path = path
        self._virtual = service.users == "virtual"
        self._mail = mail_user(service.mail_user) if self._virtual else (0, 0)
        self._mail_group = () if self._virtual else mail_group(service.mail_group)
        self._remembered: dict[Authenticated, tuple[float, Account]] = {}

    def account(self, who: Authenticated, now: float) -> Account | Refusal:
        """Return the account of a user; ``now`` in monotonic seconds."""
        found = self._remembered.get(who)
        if found is not None and now < found[0]:
            return found[1]
        account = self._make(who)
        if isinstance(account, Account):
            if len(self._remembered) >= _MAXIMUM_REMEMBERED:
                self._remembered.clear()
            self._remembered[who] = (now + REMEMBERED_SECONDS, account)
        return account

    def barred(self, name: str) -> bool:
        """Whether a name is of a system account that may never log in, with any password."""
        if self._virtual:
            return False
        try:
            return pwd.getpwnam(name).pw_uid <= BLOCKED_UID
        except KeyError:
            return False

    def exists(self, name: str) -> bool:
        """Whether the system's user database has the name."""
        try:
            pwd.getpwnam(name)
        except KeyError:
            return False
        return True

    def _make(self, who: Authenticated) -> Account | Refusal:
        ids = self._ids(who)
        if isinstance(ids, Refusal):
            return ids
        user, uid, gid, groups, home = ids
        try:
            path = expand(self._path, user, home)
        except PathError as error:
            return Refusal(
                "SYS/PERM", "Your mailbox is not set up", f"user {escape(user)}: {error}"
            )
        return Account(user, uid, gid, groups, home, path)

    def _ids(self, who: Authenticated) -> tuple[str, int, int, tuple[int, ...], str] | Refusal:
        if self._virtual:
            return who.name, *self._mail, (), who.home
        if who.uid is not None and who.gid is not None:
            user, uid, gid, home = who.name, who.uid, who.gid, who.home
            groups = set(self._mail_group)
        else:
            try:
                entry = pwd.getpwnam(who.name)
            except KeyError:
                return wrong(f"user {escape(who.name)} is not in the system's user database")
            user, uid, gid, home = entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir
            home = who.home or home
            groups = {*os.getgrouplist(user, gid), *self._mail_group}
        # Refused like a wrong password: nobody is to try out root's password here.
        if uid <= BLOCKED_UID or gid == 0:
            return wrong(
                f"user {escape(user)} has uid {uid} and gid {gid}: uids up to {BLOCKED_UID} and"
                " gid 0 are never served"
            )
        return user, uid, gid, tuple(sorted(groups - {0})), home
