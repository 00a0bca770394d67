"""Everything that processes say to each other, on one page.

    Admitted   listener -> login   client's socket, lease     trusted by nobody who has rights
    Attempt    login    -> auth    stream, lease              NOT trusted: login talks to clients
    Verdict    auth     -> login   stream, lease              a login that failed; trusted
    Grant      auth     -> worker  stream, lease              trusted: only auth holds that socket
    RETIRE     master   -> worker  none                       one idle worker leaves

"Stream" is the client's socket itself, or for TLS one end of a socket pair whose other end login
relays. Fields are binary-safe: a fixed head, then the lengths of the octet strings, then these.
A length that does not add up is a MessageError; nothing is guessed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from preforkpop.ipc.channel import MAXIMUM_MESSAGE, MessageError

RETIRE = b"retire"


def _join(head: bytes, *strings: bytes) -> bytes:
    lengths = struct.pack(f"<{len(strings)}I", *map(len, strings))
    message = b"".join((head, lengths, *strings))
    if len(message) > MAXIMUM_MESSAGE:
        raise MessageError(f"a message of {len(message)} octets, {MAXIMUM_MESSAGE} are the most")
    return message


def _strings(message: bytes, at: int, count: int) -> list[bytes]:
    lengths = struct.Struct(f"<{count}I")
    try:
        sizes = lengths.unpack_from(message, at)
    except struct.error:
        raise MessageError("a message without its lengths") from None
    at += lengths.size
    if at + sum(sizes) != len(message):
        raise MessageError("a message whose lengths do not add up")
    found = []
    for size in sizes:
        found.append(message[at : at + size])
        at += size
    return found


def _text(octets: bytes) -> str:
    """What is text in the process that sent it."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise MessageError("a message with text that is none") from None


def _address(octets: bytes) -> str:
    """A client's address: it goes into logs and to PAM, so nothing is in it that needs escaping."""
    if not octets.isascii() or not (address := octets.decode()).isprintable():
        raise MessageError("a message with an address that is none")
    return address


def _name(octets: bytes) -> str:
    """A file name, whatever octets it has."""
    return octets.decode("utf-8", "surrogateescape")


def _head(layout: struct.Struct, message: bytes) -> tuple[Any, ...]:
    try:
        return layout.unpack_from(message)
    except struct.error:
        raise MessageError("a message without its head") from None


_ADMITTED = struct.Struct("<BHd")


@dataclass(frozen=True, slots=True)
class Admitted:
    """A connection that passed the admission rules. Listener to login; 2 descriptors."""

    listener: int  # index into the configured listeners: says whether TLS starts at once
    port: int  # the client's
    accepted: float  # monotonic seconds
    peer: str  # the client's address

    def pack(self) -> bytes:
        """The message as octets."""
        return _ADMITTED.pack(self.listener, self.port, self.accepted) + self.peer.encode()

    @classmethod
    def unpack(cls, message: bytes) -> Admitted:
        """The message from octets; MessageError when it is none."""
        listener, port, accepted = _head(_ADMITTED, message)
        return cls(listener, port, accepted, _address(message[_ADMITTED.size :]))


_CLIENT = struct.Struct("<BHdQBBB")


@dataclass(frozen=True, slots=True)
class Client:
    """What login knows of a client, travelling with an attempt and back with its verdict."""

    listener: int
    port: int
    accepted: float
    number: int  # login's own number for a client that stays with it (TLS); 0 for clear text
    tls: bool
    failures: int
    bad_commands: int
    peer: str
    stamp: bytes  # APOP's, b"" without

    def pack(self) -> bytes:
        """The fixed part; peer and stamp travel among the strings."""
        return _CLIENT.pack(
            self.listener,
            self.port,
            self.accepted,
            self.number,
            self.tls,
            min(self.failures, 255),
            min(self.bad_commands, 255),
        )

    @classmethod
    def unpack(cls, message: bytes, peer: bytes, stamp: bytes) -> Client:
        """From the beginning of a message and its strings."""
        listener, port, accepted, number, tls, failures, bad = _head(_CLIENT, message)
        return cls(
            listener,
            port,
            accepted,
            number,
            bool(tls),
            failures,
            bad,
            _address(peer),
            stamp,
        )


_ATTEMPT = struct.Struct("<Hd")


@dataclass(frozen=True, slots=True)
class Attempt:
    """Complete credentials and the session they are for. Login to auth; 2 descriptors."""

    client: Client
    slot: int  # which login process asks: the verdict goes to its socket
    deadline: float  # monotonic seconds after which nobody waits for the answer
    mechanism: str
    user: bytes
    authzid: bytes
    secret: bytes = field(repr=False)
    rest: bytes = field(repr=False)  # the client's octets behind the login, for the worker

    def pack(self) -> bytes:
        """The message as octets."""
        client = self.client
        return _join(
            client.pack() + _ATTEMPT.pack(self.slot, self.deadline),
            client.peer.encode(),
            client.stamp,
            self.mechanism.encode(),
            self.user,
            self.authzid,
            self.secret,
            self.rest,
        )

    @classmethod
    def unpack(cls, message: bytes) -> Attempt:
        """The message from octets; MessageError when it is none."""
        at = _CLIENT.size + _ATTEMPT.size
        peer, stamp, mechanism, user, authzid, secret, rest = _strings(message, at, 7)
        slot, deadline = _ATTEMPT.unpack_from(message, _CLIENT.size)
        return cls(
            Client.unpack(message, peer, stamp),
            slot,
            deadline,
            _text(mechanism),
            user,
            authzid,
            secret,
            rest,
        )


_VERDICT = struct.Struct("<B")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A login that did not succeed. Auth to the login process that asked; 2 descriptors.

    ``code`` is the response code (RFC 3206); only "AUTH" counts as a failed attempt.
    """

    client: Client
    code: str
    text: str
    user: bytes
    rest: bytes = field(repr=False)

    def pack(self) -> bytes:
        """The message as octets."""
        return _join(
            self.client.pack(),
            self.client.peer.encode(),
            self.client.stamp,
            self.code.encode(),
            self.text.encode(),
            self.user,
            self.rest,
        )

    @classmethod
    def unpack(cls, message: bytes) -> Verdict:
        """The message from octets; MessageError when it is none."""
        peer, stamp, code, text, user, rest = _strings(message, _CLIENT.size, 6)
        client = Client.unpack(message, peer, stamp)
        return cls(client, _text(code), _text(text), user, rest)


_GRANT = struct.Struct("<BBHddIIH")


@dataclass(frozen=True, slots=True)
class Grant:
    """A session for a worker: who the client has proved to be. Auth to worker; 2 descriptors."""

    tls: bool
    passwords: bool  # they may be sent as such on this connection, which CAPA goes on to say
    port: int
    accepted: float  # monotonic seconds
    deadline: float  # monotonic seconds after which the client is not to be kept waiting
    uid: int
    gid: int
    groups: tuple[int, ...]
    user: str
    home: str
    path: str  # of the maildrop, expanded
    peer: str
    mechanism: str
    rest: bytes = field(repr=False)

    def pack(self) -> bytes:
        """The message as octets."""
        groups = self.groups
        return _join(
            _GRANT.pack(
                self.tls,
                self.passwords,
                self.port,
                self.accepted,
                self.deadline,
                self.uid,
                self.gid,
                len(groups),
            )
            + struct.pack(f"<{len(groups)}I", *groups),
            self.user.encode(),
            self.home.encode("utf-8", "surrogateescape"),
            self.path.encode("utf-8", "surrogateescape"),
            self.peer.encode(),
            self.mechanism.encode(),
            self.rest,
        )

    @classmethod
    def unpack(cls, message: bytes) -> Grant:
        """The message from octets; MessageError when it is none."""
        tls, passwords, port, accepted, deadline, uid, gid, count = _head(_GRANT, message)
        at = _GRANT.size + 4 * count
        try:
            groups = struct.unpack_from(f"<{count}I", message, _GRANT.size)
        except struct.error:
            raise MessageError("a grant without its groups") from None
        user, home, path, peer, mechanism, rest = _strings(message, at, 6)
        return cls(
            bool(tls),
            bool(passwords),
            port,
            accepted,
            deadline,
            uid,
            gid,
            groups,
            _text(user),
            _name(home),
            _name(path),
            _address(peer),
            _text(mechanism),
            rest,
        )
