"""A file of users: ``name:{SCHEME}hash:uid:gid:gecos:home:shell:extra``, as Dovecot reads it.

Run by the auth process, which may have to be root to read it. Read into memory, and again when it
has changed: a ``stat`` a second at most. A new version with faults is told about and the old one
stays in force; a file that cannot be read at all makes logins fail for the time being, which never
looks like a wrong password.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from typing import Final

from preforkpop.auth import schemes
from preforkpop.auth.backends.passwd_line import (
    Entry,
    Fault,
    LineError,
    allowed,
    parse_line,
)
from preforkpop.auth.cache import Cache
from preforkpop.auth.credentials import (
    Authenticated,
    Credentials,
    Outcome,
    Report,
    unavailable,
    wrong,
)

__all__ = ["Entry", "Fault", "PasswdFile", "parse"]

MAXIMUM_OCTETS: Final = 256 * 1024 * 1024
LOOK_EVERY: Final = 1.0  # seconds between two looks at the file
_TOLD_FAULTS: Final = 10  # of one version; config check tells them all


class _UnreadableError(Exception):
    """The file as a whole cannot be used."""


def parse(path: str) -> tuple[dict[str, Entry], list[Fault]]:
    """Read a file of users: the usable ones by name, and every fault (line 0: the file itself)."""
    try:
        octets, _ = _read(path)
    except _UnreadableError as error:
        return {}, [Fault(path, 0, str(error))]
    return parse_octets(path, octets)


def parse_octets(path: str, octets: bytes) -> tuple[dict[str, Entry], list[Fault]]:
    """Read what a file of users contains; ``path`` is for the faults."""
    entries: dict[str, Entry] = {}
    faults: list[Fault] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(octets.split(b"\n"), 1):
        text = line.removesuffix(b"\r")
        if not text or text[0] in b"#:" or text.isspace():
            continue
        try:
            entry = parse_line(text)
        except LineError as error:
            faults.append(Fault(path, number, str(error)))
            continue
        if entry.name in entries:
            faults.append(Fault(path, number, f"the user is on line {lines[entry.name]} already"))
            continue
        entries[entry.name] = entry
        lines[entry.name] = number
    return entries, faults


_Stamp = tuple[int, int, int, int, int]


def _stamp(status: os.stat_result) -> _Stamp:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _read(path: str) -> tuple[bytes, os.stat_result]:
    """Read the file; it may be a symbolic link, as it is the administrator's, but not a device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _UnreadableError(f"cannot be opened: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _UnreadableError("is not a file")
        if status.st_mode & stat.S_IWOTH:
            raise _UnreadableError("can be written by everybody; chmod o-w")
        if status.st_size > MAXIMUM_OCTETS:
            raise _UnreadableError(f"is larger than {MAXIMUM_OCTETS} octets")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAXIMUM_OCTETS), status
    except OSError as error:
        raise _UnreadableError(f"cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


class PasswdFile:
    """The source of type "passwd-file"."""

    __slots__ = (
        "_cache",
        "_dummy",
        "_entries",
        "_key",
        "_loaded",
        "_looked",
        "_path",
        "_report",
        "_stamp",
        "_unreadable",
    )

    def __init__(self, path: str, cache: Cache, report: Report) -> None:
        self._path = path
        self._key = b"passwd-file:" + os.fsencode(path)
        self._cache = cache
        self._report = report
        self._entries: dict[str, Entry] = {}
        self._dummy: schemes.Stored | None = None
        self._loaded = False
        self._looked = -LOOK_EVERY
        self._stamp: _Stamp | None = None
        self._unreadable = ""

    # -- the file ---------------------------------------------------------------------------

    def refresh(self, now: float) -> None:
        """Look whether the file has changed, unless that was done within the last second."""
        if 0 <= now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        try:
            stamp = _stamp(os.stat(self._path))
            if stamp == self._stamp and not self._unreadable:
                return
            octets, status = _read(self._path)
        except OSError as error:
            self._failed(f"cannot be opened: {error.strerror}")
        except _UnreadableError as error:
            self._failed(str(error))
        else:
            self._unreadable = ""
            if _stamp(status) != self._stamp:
                self._stamp = _stamp(status)
                self._take(octets, status)

    def _failed(self, problem: str) -> None:
        if problem != self._unreadable:
            self._report(f"{self._path}: {problem}; its users cannot log in")
        self._unreadable = problem

    def _take(self, octets: bytes, status: os.stat_result) -> None:
        entries, faults = parse_octets(self._path, octets)
        for fault in faults[:_TOLD_FAULTS]:
            self._report(str(fault))
        if len(faults) > _TOLD_FAULTS:
            self._report(f"{self._path}: {len(faults) - _TOLD_FAULTS} more faults")
        if faults and self._loaded:
            self._report(f"{self._path}: the version before it stays in force")
            return
        if status.st_mode & stat.S_IROTH and any(
            entry.password is not None and entry.password.scheme == "PLAIN"
            for entry in entries.values()
        ):
            self._report(
                f"{self._path}: has passwords in the clear and everybody can read it; chmod o-r"
            )
        self._entries = entries
        self._dummy = _commonest(entries)
        self._loaded = True

    # -- what a Source does -----------------------------------------------------------------

    def check(self, credentials: Credentials, name: str, now: float) -> Outcome:
        """Decide about a user of this file."""
        self.refresh(now)
        if self._unreadable:
            return unavailable(f"{self._path}: {self._unreadable}")
        entry = self._entries.get(name)
        if entry is None:
            return None
        if not self._right(entry, credentials, now):
            return wrong()
        if entry.nologin:
            return wrong(f"{self._path}: the user has nologin")
        if not allowed(entry, credentials.client):
            return wrong(f"{self._path}: the user's allow_nets do not have the client's address")
        return Authenticated(name, entry.uid, entry.gid, entry.home)

    def pretend(self, credentials: Credentials) -> bool:
        """Work as for a wrong password of a user with the commonest scheme of the file."""
        if credentials.mechanism == "APOP":
            schemes.apop_matches(None, credentials.stamp, credentials.secret)
        elif self._dummy is not None:
            schemes.matches(self._dummy, credentials.secret)
        else:
            return False
        return True

    def has_apop_secret(self, name: str) -> bool:
        """Whether a user can use APOP: the entry is {PLAIN}."""
        entry = self._entries.get(name)
        return entry is not None and entry.password is not None and entry.password.scheme == "PLAIN"

    def _right(self, entry: Entry, credentials: Credentials, now: float) -> bool:
        stored = entry.password
        if credentials.mechanism == "APOP":
            usable = stored if stored is not None and stored.scheme == "PLAIN" else None
            return schemes.apop_matches(usable, credentials.stamp, credentials.secret)
        if stored is None:
            self.pretend(credentials)
            return False
        if not stored.expensive:
            return schemes.matches(stored, credentials.secret)
        digest = self._cache.digest(
            b"pop3",
            self._key,
            entry.name.encode(),
            credentials.mechanism.encode(),
            stored.value,
            credentials.secret,
        )
        if self._cache.find(digest, now) is not None:
            return True
        if not schemes.matches(stored, credentials.secret):
            return False
        self._cache.remember(digest, entry.name, now)
        return True


def _commonest(entries: dict[str, Entry]) -> schemes.Stored | None:
    """Return a stored password that costs what most of the file's cost; its result is not used."""
    samples: dict[str, schemes.Stored] = {}
    costs: Counter[str] = Counter()
    for entry in entries.values():
        if entry.password is not None:
            cost = entry.password.cost
            costs[cost] += 1
            samples.setdefault(cost, entry.password)
    return samples[costs.most_common(1)[0][0]] if costs else None
