"""One line of a passwd-file. Pure, except that ids given as names are looked up.

Run by the auth process and by ``config check``. Extra fields that decide who may log in are obeyed;
one that is not known is a fault, as ignoring it could let somebody in. ``userdb_...`` fields are
about other things than logging in and are passed over.
"""

from __future__ import annotations

import grp
import ipaddress
import os
import pwd
from dataclasses import dataclass, field

from preforkpop.auth import schemes
from preforkpop.auth.identity import valid_name

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class LineError(Exception):
    """A line that cannot be used; the text shows nothing of the line but names of fields."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in a file of users, and on which line; line 0 is the file itself."""

    path: str
    line: int
    problem: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A user of the file."""

    name: str
    password: schemes.Stored | None = field(repr=False)  # None: locked
    uid: int | None = None
    gid: int | None = None
    home: str = ""
    nologin: bool = False
    networks: tuple[Network, ...] | None = None  # from where the user may come; None: anywhere


def parse_line(line: bytes) -> Entry:
    """Read a line that is not empty and not a comment."""
    fields = line.split(b":", 7)
    if len(fields) < 2:
        raise LineError("has no password: name:{SCHEME}hash:uid:gid:gecos:home:shell:extra")
    fields += [b""] * (8 - len(fields))
    try:
        name = fields[0].decode()
    except UnicodeDecodeError:
        raise LineError("the user name is not UTF-8") from None
    if not valid_name(name):
        raise LineError(
            "the user name is empty, too long, begins with . or - or @, or has a slash"
            " or a control character"
        )
    try:
        password = schemes.parse(fields[1])
    except schemes.SchemeError as error:
        raise LineError(str(error)) from None
    uid, gid = _uid(fields[2]), _gid(fields[3])
    if (uid is None) != (gid is None):
        raise LineError("has one of uid and gid; both are needed, or none")
    home = os.fsdecode(fields[5])
    if home and not home.startswith("/"):
        raise LineError("the home directory is not an absolute path")
    if not fields[7].strip():
        return Entry(name, password, uid, gid, home)
    nologin, networks = _extra(fields[7])
    return Entry(name, password, uid, gid, home, nologin, networks)


def _number(text: bytes) -> int | None:
    if not text.isdigit():
        return None
    number = int(text[:11])
    if number >= 0xFFFFFFFF:  # (uid_t) -1 is "no change" to setresuid(2)
        raise LineError("a uid or gid is too large")
    return number


def _uid(text: bytes) -> int | None:
    if not text:
        return None
    number = _number(text)
    if number is not None:
        return number
    try:
        return pwd.getpwnam(os.fsdecode(text)).pw_uid
    except (KeyError, ValueError):
        raise LineError("the uid is neither a number nor the name of an account") from None


def _gid(text: bytes) -> int | None:
    if not text:
        return None
    number = _number(text)
    if number is not None:
        return number
    try:
        return grp.getgrnam(os.fsdecode(text)).gr_gid
    except (KeyError, ValueError):
        raise LineError("the gid is neither a number nor the name of a group") from None


def _extra(text: bytes) -> tuple[bool, tuple[Network, ...] | None]:
    nologin = False
    networks: tuple[Network, ...] | None = None
    for word in text.decode("utf-8", "replace").split():
        key, _, value = word.partition("=")
        if key == "nologin":
            nologin = True
        elif key == "allow_nets":
            networks = (networks or ()) + _networks(value)
        elif not key.startswith("userdb_") and key not in ("nodelay", "reason"):
            raise LineError(
                "has an extra field that is not known; known are nologin, allow_nets,"
                " nodelay, reason and userdb_..."
            )
    return nologin, networks


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(one, strict=False) for one in text.split(",") if one)
    except ValueError:
        raise LineError(
            "allow_nets: addresses and networks with commas between are expected"
        ) from None


def allowed(entry: Entry, client: str) -> bool:
    """Whether a user may come from this address; one that is no address is from nowhere."""
    if entry.networks is None:
        return True
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in entry.networks)
