"""What the kernel says of processes: /proc, read as root or as their owner."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One process; what is asked of it is read then."""

    pid: int

    @property
    def directory(self) -> Path:
        """Its place in /proc."""
        return PROC / str(self.pid)

    @property
    def title(self) -> str:
        """What ps shows; "" when it has ended."""
        try:
            octets = (self.directory / "cmdline").read_bytes()
        except OSError:
            return ""
        return octets.rstrip(b"\0 ").decode("utf-8", "replace")

    @property
    def alive(self) -> bool:
        """Whether it runs: a process that waits to be reaped does not."""
        return self._stat()[:1] not in ([], ["Z"], ["X"])

    @property
    def session(self) -> int:
        """The session it belongs to; 0 when it has ended."""
        fields = self._stat()
        return int(fields[3]) if fields else 0

    def status(self) -> dict[str, str]:
        """The fields of /proc/PID/status."""
        lines = (self.directory / "status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def ids(self, field: str) -> list[int]:
        """ "Uid" or "Gid": real, effective, saved, file system; "Groups"."""
        return [int(number) for number in self.status()[field].split()]

    def capabilities(self) -> dict[str, int]:
        """Inheritable, permitted, effective, bounding and ambient ones as bits."""
        names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
        status = self.status()
        return {name: int(status[name], 16) for name in names}

    def root(self) -> str:
        """Its root directory as seen from outside."""
        return str((self.directory / "root").readlink())

    def sockets(self) -> set[int]:
        """Inodes of the sockets it has open."""
        return {int(found[1]) for link in self.links() if (found := _SOCKET.fullmatch(link))}

    def links(self) -> list[str]:
        """What its descriptors lead to; empty when it has ended."""
        found = []
        try:
            entries = list(os.scandir(self.directory / "fd"))
        except OSError:
            return []
        for entry in entries:
            try:
                found.append(os.readlink(entry.path))
            except OSError:
                continue
        return found

    def maps(self) -> str:
        """What is mapped into its memory; "" when it has ended."""
        try:
            return (self.directory / "maps").read_text()
        except OSError:
            return ""

    def resident(self) -> int:
        """Octets of its memory that are its own, shared ones divided among those who share."""
        text = (self.directory / "smaps_rollup").read_text()
        found = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
        assert found
        return int(found[1]) * 1024

    def _stat(self) -> list[str]:
        """State, parent, process group, session ...; empty when it has ended."""
        try:
            text = (self.directory / "stat").read_text()
        except OSError:
            return []
        return text.rpartition(")")[2].split()


_SOCKET = re.compile(r"socket:\[(\d+)\]")


def everything() -> list[Process]:
    """All processes of the machine."""
    return [Process(int(name)) for name in os.listdir(PROC) if name.isdigit()]


def of_session(session: int) -> list[Process]:
    """The running processes of a session, its leader first."""
    found = [one for one in everything() if one.session == session and one.alive]
    return sorted(found, key=lambda one: (one.pid != session, one.pid))


def connections(port: int) -> list[int]:
    """Inodes of the server's ends of the TCP connections to a port of this machine."""
    return [inode for local, remote, inode in _connected() if local == port]


def connection_inode(port: int, client: int) -> int:
    """The inode of the server's end of the connection between these two ports."""
    (inode,) = (one for local, remote, one in _connected() if (local, remote) == (port, client))
    return inode


def _connected() -> Iterator[tuple[int, int, int]]:
    """Own port, other port and inode of every established TCP connection."""
    for name in ("tcp", "tcp6"):
        for line in (PROC / "net" / name).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "01":
                yield _port(fields[1]), _port(fields[2]), int(fields[9])


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
