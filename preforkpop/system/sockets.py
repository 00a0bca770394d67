"""Listening sockets, socket pairs and peer addresses.

The master makes all of these before it forks; listener and inetd mode read peer addresses.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct

USER_TIMEOUT = 120_000  # milliseconds in which a dead peer is noticed while octets are under way
KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 60, 15, 4  # seconds, seconds, probes
BACKLOG = 4096  # the kernel cuts it to net.core.somaxconn
_MISSING = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)  # a host name may have addresses elsewhere


class AddressError(Exception):
    """An address that cannot be listened on; the text names it and the reason."""


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port", "[v6]:port" or ":port" ("" is every address)."""
    host, separator, port = address.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise AddressError(f'"{address}" is no address: "host:port", "[v6]:port" or ":port"')
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise AddressError(f'"{address}": an IPv6 address stands in brackets, "[::1]:110"')
    return host, int(port)


def listen(address: str) -> list[socket.socket]:
    """Listening sockets for an address, one for each address a host name has.

    "[::]" and "" serve IPv4 as well. Options that every connection needs are set here, because
    accepted sockets inherit them: no delay for small replies, keep-alive, time limits.
    """
    host, port = split_address(address)
    try:
        found = socket.getaddrinfo(
            host or "::", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise AddressError(f'"{address}": {error.strerror}') from error
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, kind, protocol, _name, where in dict.fromkeys(found):
        try:
            sockets.append(_listen_on(family, kind, protocol, where))
        except OSError as error:
            if error.errno in _MISSING:
                missing = error
                continue
            for one in sockets:
                one.close()
            raise _refused(address, error) from error
    if sockets:
        return sockets
    if host not in ("", "::"):
        raise _refused(address, missing) from missing
    try:  # a machine without IPv6 still serves "[::]" over IPv4
        return [_listen_on(socket.AF_INET, socket.SOCK_STREAM, 0, ("0.0.0.0", port))]  # noqa: S104
    except OSError as error:
        raise _refused(address, error) from error


def _refused(address: str, error: OSError | None) -> AddressError:
    reason = error.strerror if error else "it stands for no address"
    if error and error.errno == errno.EACCES:
        reason = f"{reason}; ports below 1024 are for root"
    return AddressError(f'"{address}": {reason}')


def _listen_on(family: int, kind: int, protocol: int, where: object) -> socket.socket:
    sock = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(where[0] != "::"))  # type: ignore[index]
        tune_connection(sock)
        sock.bind(where)  # type: ignore[arg-type]
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def tune_connection(sock: socket.socket) -> None:
    """Options of a client's connection; set on a listening socket they are inherited (tcp(7))."""
    for option, value in (
        (socket.TCP_NODELAY, 1),
        (socket.TCP_USER_TIMEOUT, USER_TIMEOUT),
        (socket.TCP_KEEPIDLE, KEEPALIVE_IDLE),
        (socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL),
        (socket.TCP_KEEPCNT, KEEPALIVE_COUNT),
    ):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def set_timeouts(sock: socket.socket, receive: float, send: float) -> None:
    """Bounds for blocking reads and writes in seconds, kept by the kernel (socket(7))."""
    for option, value in ((socket.SO_RCVTIMEO, receive), (socket.SO_SNDTIMEO, send)):
        seconds = int(value)
        microseconds = int((value - seconds) * 1e6)
        sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", seconds, microseconds))


def adopt(descriptor: int) -> socket.socket:
    """A stream socket that came from another process; it takes the descriptor over.

    The family is never asked for: what is sent, read and closed is the same with all of them, and
    finding it out costs three system calls a session.
    """
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptor)


def pair(kind: int = socket.SOCK_SEQPACKET) -> tuple[socket.socket, socket.socket]:
    """A socket pair, blocking, not inheritable by programs."""
    return socket.socketpair(socket.AF_UNIX, kind)


def peer_text(address: object) -> str:
    """The client's address as text, IPv4-mapped IPv6 as IPv4; "" for what is no IP address."""
    if not isinstance(address, tuple) or not address:
        return ""
    host = str(address[0])
    return host[7:] if host.startswith("::ffff:") and "." in host else host


def is_socket(descriptor: int) -> bool:
    """Whether a descriptor is a socket (inetd hands one over as standard input)."""
    return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
