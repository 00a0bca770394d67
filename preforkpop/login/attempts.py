"""Logins on their way to auth, and those that come back refused.

Run by login processes. A clear-text client leaves: its socket goes with the credentials, and only a
verdict brings it back, to this process, which then knows of it what travelled along. A client that
speaks TLS stays: what goes is one end of a socket pair, and the client is not read until a worker
speaks on the other end, or the verdict comes.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Final

from preforkpop.ipc import channel, messages
from preforkpop.ipc.scoreboard import Slot
from preforkpop.login.client import Client, Phase
from preforkpop.login.connections import Connections
from preforkpop.login.policies import Policies
from preforkpop.pop3 import reply
from preforkpop.pop3.authorization import Authorization, Login
from preforkpop.system.log import Level, Log
from preforkpop.system.sockets import adopt, pair

VERDICT_TIMEOUT: Final = 30.0
"""Seconds for the check of a password and a free worker: the deadline that travels along."""

SLACK: Final = 5.0
"""Seconds after the deadline when login gives up by itself."""

BUSY: Final = reply.error("The server is busy, try again later", reply.ResponseCode.SYS_TEMP)


class Attempts:
    """What one login process has asked auth."""

    __slots__ = (
        "_attempts",
        "_connections",
        "_log",
        "_number",
        "_passed",
        "_policies",
        "_slot",
        "_verdicts",
        "due",
    )

    def __init__(
        self,
        attempts: socket.socket,
        verdicts: socket.socket,
        number: int,
        *,
        connections: Connections,
        policies: Policies,
        slot: Slot,
        log: Log,
    ) -> None:
        """``number``: which of auth's sockets for verdicts leads here."""
        self._attempts = attempts
        self._verdicts = verdicts
        self._number = number
        self._connections = connections
        self._policies = policies
        self._slot = slot
        self._log = log
        self._passed = 0
        self.due = 0.0
        """Until when a client in clear text, which has left, may come back with a verdict."""

    # ------------------------------------------------------------------ to auth

    def ask(self, client: Client) -> None:
        """Hand the session to auth, with all that is known of it."""
        login = client.machine.login
        assert login is not None
        if client.outward and client.tls is None:
            raise ConnectionAbortedError("who goes on must have taken what was answered so far")
        now = time.monotonic()
        try:
            relay = self._send(client, login, now)
        except (OSError, channel.MessageError) as error:
            self._log.rarely(
                Level.WARNING,
                "auth cannot be asked:"
                f" {error.strerror if isinstance(error, OSError) else 'the login is too long'};"
                " raise authentication.processes, or the limit of open files",
                now,
            )
            self._connections.end(client, BUSY)
            return
        self._passed += 1
        self._slot.sessions(self._passed)
        if relay is None:
            self.due = now + VERDICT_TIMEOUT
            self._connections.gone(client)
        else:
            self._await(client, relay, now)

    def _send(self, client: Client, login: Login, now: float) -> socket.socket | None:
        """Send the attempt; the socket on which a worker will speak, None for the client's own."""
        attempt = self._attempt(client, login, now).pack()
        if client.tls is None:
            descriptors = (client.descriptor, client.lease)
            channel.send(self._attempts, attempt, descriptors, wait=False)
            return None
        relay, stream = pair(socket.SOCK_STREAM)
        try:
            with stream:
                descriptors = (stream.fileno(), client.lease)
                channel.send(self._attempts, attempt, descriptors, wait=False)
        except OSError:
            relay.close()
            raise
        return relay

    def _attempt(self, client: Client, login: Login, now: float) -> messages.Attempt:
        machine = client.machine
        return messages.Attempt(
            client=messages.Client(
                listener=client.listener,
                port=client.port,
                accepted=client.accepted,
                number=0 if client.tls is None else client.number,
                tls=client.tls is not None,
                failures=machine.failures,
                bad_commands=machine.bad_commands,
                peer=client.peer,
                stamp=machine.stamp,
            ),
            slot=self._number,
            deadline=now + VERDICT_TIMEOUT,
            mechanism=login.mechanism,
            user=login.user,
            authzid=login.authzid,
            secret=login.secret,
            rest=machine.rest(),
        )

    def _await(self, client: Client, relay: socket.socket, now: float) -> None:
        """A worker or the verdict will speak; the lease has gone with the session."""
        client.phase = Phase.VERDICT
        os.close(client.lease)
        client.lease = -1
        self._connections.discount(client)
        client.deadline = now + VERDICT_TIMEOUT + SLACK
        self._connections.attach(client, relay)

    # ------------------------------------------------------------------ and back

    def take(self) -> tuple[Client, messages.Verdict] | None:
        """Take one verdict, with its client; None when its client has gone meanwhile.

        BlockingIOError when there is none, EOFError when no auth process is left.
        """
        got = channel.receive(self._verdicts, 2, wait=False)
        if got is None:
            self.due = 0.0
            raise EOFError
        message, descriptors = got
        try:
            verdict = messages.Verdict.unpack(message)
            if verdict.client.number:
                client = self._restored(verdict, descriptors)
            else:
                client = self._returned(verdict, descriptors)
        except (channel.MessageError, KeyError, OSError):
            channel.close_all(descriptors)
            raise
        return None if client is None else (client, verdict)

    def _returned(self, verdict: messages.Verdict, descriptors: channel.Descriptors) -> Client:
        """The clear-text client that comes back with a verdict."""
        known = verdict.client
        machine = Authorization(
            self._policies.find(known.listener, known.peer),
            tls=False,
            stamp=known.stamp,
            failures=known.failures,
            bad_commands=known.bad_commands,
            pending=verdict.rest,
        )
        sock = adopt(descriptors[0])
        client = self._connections.adopt(sock, descriptors[1], machine, known)
        client.greeted = True
        return client

    def _restored(
        self, verdict: messages.Verdict, descriptors: channel.Descriptors
    ) -> Client | None:
        """The client that stayed here while auth was asked."""
        client = self._connections.by_number.get(verdict.client.number)
        if client is None or client.phase is not Phase.VERDICT:
            channel.close_all(descriptors)
            return None
        os.close(descriptors[0])
        client.lease = descriptors[1]
        client.machine.restore(verdict.rest)
        self._connections.detach(client)
        self._connections.count(client)
        return client
