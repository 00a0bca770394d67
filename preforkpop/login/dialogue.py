"""The talk with clients before login: greeting, TLS handshake, commands and their answers.

Run by login processes. What is said is decided by ``pop3.authorization``; here it is read and sent.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Final

from OpenSSL import SSL

from preforkpop.login.attempts import Attempts
from preforkpop.login.client import Client, Phase
from preforkpop.login.connections import Connections
from preforkpop.pop3.authorization import Action
from preforkpop.system.log import Log, escape
from preforkpop.tls.stream import RECORD, StreamError, TlsStream

READ: Final = 4096
"""Octets taken from a client at once: more than anybody pipelines before login."""

_READ_TLS: Final = RECORD + 1024  # a record, whatever its overhead
_NO_WAIT: Final = int(socket.MSG_DONTWAIT)


class Dialogue:
    """Talks with all clients of one login process that have not logged in."""

    __slots__ = ("_attempts", "_connections", "_context", "_log")

    def __init__(
        self,
        connections: Connections,
        attempts: Attempts,
        context: SSL.Context | None,
        log: Log,
    ) -> None:
        self._connections = connections
        self._attempts = attempts
        self._context = context
        self._log = log

    def begin(self, client: Client, *, tls: bool) -> None:
        """Greet a client that has just come, after the handshake when TLS starts at once."""
        if tls:
            self._start_tls(client)
        else:
            self._greet(client)
        self._connections.watch(client)

    def read(self, client: Client) -> None:
        """Take what the client has sent, and answer."""
        clear = client.tls is None and client.phase is not Phase.HANDSHAKE
        data = client.sock.recv(READ if clear else _READ_TLS, _NO_WAIT)
        if not data:
            self._connections.gone(client)
        elif clear:
            self._answer(client, *client.machine.receive(data))
        elif client.tls is None:
            self._begin_handshake(client, data)
        else:
            client.tls.feed(data)
            self._read_tls(client)

    def refused(self, client: Client, line: bytes, *, counted: bool) -> None:
        """Answer a login that auth refused, and go on with what the client had sent behind it."""
        client.phase = Phase.AUTHORIZATION
        self._answer(client, *client.machine.refused(line, counted=counted))
        if client.tls is not None:
            self._read_tls(client)
        if client.phase is Phase.AUTHORIZATION:
            self._connections.watch(client)

    def cut_off(self, client: Client, error: StreamError) -> None:
        """Send OpenSSL's alert, if it made one, and close: this client's TLS is broken."""
        self._log.info(f"TLS with {client.peer} failed: {escape(str(error))}")
        if client.tls is not None and not client.outward:
            with contextlib.suppress(OSError):
                self._connections.send_raw(client, client.tls.outgoing())
        self._connections.gone(client)

    def _greet(self, client: Client) -> None:
        client.greeted = True
        self._connections.send(client, client.machine.greeting())

    def _answer(self, client: Client, octets: bytes, action: Action) -> None:
        if action is Action.CLOSE:
            self._connections.end(client, octets)
            return
        if octets:
            self._connections.send(client, octets)
        if action is Action.LOGIN:
            self._attempts.ask(client)
        elif action is Action.STLS:
            self._start_tls(client)

    # ------------------------------------------------------------------ TLS

    def _start_tls(self, client: Client) -> None:
        """Wait for a handshake; who connects and says nothing costs no memory of OpenSSL's."""
        assert self._context is not None, "TLS is offered only where there is a certificate"
        client.phase = Phase.HANDSHAKE

    def _begin_handshake(self, client: Client, data: bytes) -> None:
        assert self._context is not None
        client.tls = TlsStream(self._context)
        client.tls.feed(data)
        self._read_tls(client)

    def _read_tls(self, client: Client) -> None:
        """Go on with the handshake, then answer all plaintext that can be had."""
        stream = client.tls
        assert stream is not None
        if client.phase is Phase.HANDSHAKE and not self._shake_hands(client, stream):
            return
        while client.phase is Phase.AUTHORIZATION:
            data = stream.receive()
            if data is None:
                self._connections.send_raw(client, stream.outgoing())
                return
            if data:
                self._answer(client, *client.machine.receive(data))
            else:
                self._connections.end(client, b"")

    def _shake_hands(self, client: Client, stream: TlsStream) -> bool:
        """Whether the handshake is complete; nothing that was said before it counts."""
        if not stream.handshake():
            self._connections.send_raw(client, stream.outgoing())
            return False
        client.phase = Phase.AUTHORIZATION
        client.machine.tls_started()
        if client.greeted:
            self._connections.send_raw(client, stream.outgoing())
        else:
            self._greet(client)  # in one write with the end of the handshake
        return True
