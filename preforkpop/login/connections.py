"""The sockets of a login process: adopted, watched, written to, ended.

Run by login processes. Client sockets stay in blocking mode, because a worker will block on them;
here every call says that it does not wait. What epoll reports is a hint: a descriptor that was
closed and given out again while its event was under way gets one that is not its own, so it is the
system call that decides, and one that would block changes nothing.

A descriptor with which nothing can be done at the moment is taken out of the epoll set, because a
hang-up would be reported for ever. A client that speaks TLS and waits for its worker is left in
until it is reported, as most say nothing meanwhile (``Server._ready``).
"""

from __future__ import annotations

import select
import socket
import time
from typing import Final

from preforkpop.ipc import messages
from preforkpop.ipc.scoreboard import Slot
from preforkpop.login.client import Client, Phase
from preforkpop.login.crowd import Crowd
from preforkpop.pop3.authorization import Authorization

MAXIMUM_UNSENT: Final = 262144
"""Octets that wait for a client: twice a piece of the relay, or some hundreds of answers before
login. A client can make it more only by asking on and on without reading; it is cut off."""

CLOSING_TIME: Final = 10.0
"""Seconds for the last words to a client before login."""

_SEND: Final = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


class Connections:
    """All clients of one login process."""

    __slots__ = (
        "_by_descriptor",
        "_epoll",
        "_numbers",
        "_slot",
        "_timeout",
        "by_number",
        "waiting",
    )

    def __init__(self, epoll: select.epoll, slot: Slot, timeout: float) -> None:
        """``timeout``: seconds that a client has to log in."""
        self._epoll = epoll
        self._slot = slot
        self._timeout = timeout
        self._by_descriptor: dict[int, Client] = {}
        self.by_number: dict[int, Client] = {}
        self.waiting = Crowd()
        # a verdict for a process that died in this one's place must not meet a client of its number
        self._numbers = time.monotonic_ns()

    def find(self, descriptor: int) -> Client | None:
        """The client whose socket, or whose socket to a worker, this is."""
        return self._by_descriptor.get(descriptor)

    def adopt(
        self,
        sock: socket.socket,
        lease: int,
        machine: Authorization,
        known: messages.Admitted | messages.Client,
    ) -> Client:
        """Take a client in."""
        self._numbers += 1
        client = Client(
            sock,
            lease,
            machine,
            peer=known.peer,
            port=known.port,
            listener=known.listener,
            accepted=known.accepted,
            number=self._numbers,
        )
        self._by_descriptor[client.descriptor] = client
        self.by_number[client.number] = client
        self.count(client)
        return client

    # ------------------------------------------------------------------ waiting to log in

    def count(self, client: Client) -> None:
        """The client waits to log in, from when it was accepted."""
        client.deadline = client.accepted + self._timeout
        client.counted = True
        self.waiting.add(client.number, client.peer)
        self._slot.clients(len(self.waiting))

    def discount(self, client: Client) -> None:
        """The client waits no more: it asks auth, it has logged in, or it has gone."""
        client.counted = False
        self.waiting.remove(client.number, client.peer)
        self._slot.clients(len(self.waiting))

    # ------------------------------------------------------------------ watching

    def watch(self, client: Client) -> None:
        """Watch the client's sockets for what can be done with them now."""
        events = client.interest()
        if events != client.watching:
            self._change(client.descriptor, client.watching, events)
            client.watching = events
        if client.relay is not None:
            self._watch_relay(client, client.relay)

    def _watch_relay(self, client: Client, relay: socket.socket) -> None:
        events = client.relay_interest()
        if events != client.watching_relay:
            self._change(relay.fileno(), client.watching_relay, events)
            client.watching_relay = events

    def attach(self, client: Client, relay: socket.socket) -> None:
        """Wait for a worker's first word on this socket."""
        client.relay = relay
        self._by_descriptor[relay.fileno()] = client
        self._watch_relay(client, relay)

    def detach(self, client: Client) -> None:
        """Close the socket to the worker."""
        relay, client.relay = client.relay, None
        if relay is None:
            return
        client.watching_relay = 0
        del self._by_descriptor[relay.fileno()]
        relay.close()  # nobody else has this end, so epoll forgets it too

    def _change(self, descriptor: int, watching: int, events: int) -> None:
        if not watching:
            self._epoll.register(descriptor, events)
        elif events:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.unregister(descriptor)

    # ------------------------------------------------------------------ sending

    def send(self, client: Client, octets: bytes) -> None:
        """Send an answer; under TLS, encrypted."""
        if client.tls is not None and client.tls.established:
            octets = client.tls.encrypt(octets)
        self.send_raw(client, octets)

    def send_raw(self, client: Client, octets: bytes) -> None:
        """Send what there is room for and keep the rest; nothing is read until it has gone."""
        if client.outward:
            client.outward += octets
            if len(client.outward) > MAXIMUM_UNSENT:
                raise ConnectionAbortedError("the client does not take its answers")
        elif octets:
            sent = transmit(client.sock, octets)
            if sent < len(octets):
                client.outward = octets[sent:]
                self.watch(client)

    def flush(self, client: Client) -> None:
        """Send what waits, now that there may be room."""
        octets, client.outward = client.outward, b""
        client.outward = octets[transmit(client.sock, octets) :]
        if client.outward:
            return
        if client.phase is Phase.CLOSING:
            self.gone(client)
        else:
            self.watch(client)

    # ------------------------------------------------------------------ the end

    def end(self, client: Client, octets: bytes, patience: float = CLOSING_TIME) -> None:
        """Say the last words and close, waiting no longer than this for who does not listen."""
        if client.phase in (Phase.CLOSING, Phase.GONE):
            self.gone(client)
            return
        self.detach(client)
        if client.phase is Phase.HANDSHAKE:
            octets = b""  # it would not understand them
        client.phase = Phase.CLOSING
        try:
            self.send_raw(client, octets if client.tls is None else client.tls.close(octets))
        except OSError:
            client.outward = b""
        if client.outward:
            client.deadline = time.monotonic() + patience
            self.watch(client)
        else:
            self.gone(client)

    def gone(self, client: Client) -> None:
        """Close a client and forget it."""
        if client.number in self.by_number:
            self.detach(client)
            if client.watching:
                self._epoll.unregister(client.descriptor)
                client.watching = 0
            del self._by_descriptor[client.descriptor]
            del self.by_number[client.number]
            if client.counted:
                self.discount(client)
            client.phase = Phase.GONE
            client.close()

    def overdue(self, now: float) -> list[Client]:
        """The clients whose time is over."""
        return [client for client in self.by_number.values() if client.deadline < now]


def transmit(sock: socket.socket, octets: bytes) -> int:
    """Send what there is room for; how many octets that was."""
    try:
        return sock.send(octets, _SEND)
    except BlockingIOError:
        return 0
