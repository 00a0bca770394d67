"""The event loop of a login process: clients before login, and TLS relays after it.

Run by each login process, without privileges, in an empty root directory. A client is greeted,
speaks the AUTHORIZATION state (``dialogue``), and leaves forward (``attempts``): its socket goes to
auth with the credentials. Only a verdict of refusal brings it back. A client that speaks TLS stays,
and its plaintext is relayed (``relay``).

Nothing here ever waits but the poll, and nothing that one client does ends another's session: what
it breaks, a fault of this program included, ends that client alone.
"""

from __future__ import annotations

import heapq
import os
import secrets
import select
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Concatenate, Final, ParamSpec

from OpenSSL import SSL

from preforkpop.config.settings import Settings
from preforkpop.ipc import channel, messages
from preforkpop.ipc.scoreboard import Slot
from preforkpop.login.attempts import BUSY, Attempts
from preforkpop.login.client import Client, Phase
from preforkpop.login.connections import Connections
from preforkpop.login.dialogue import Dialogue
from preforkpop.login.penalties import Penalties
from preforkpop.login.policies import Policies
from preforkpop.login.relay import Relay
from preforkpop.pop3 import reply
from preforkpop.pop3.authorization import Authorization
from preforkpop.pop3.reply import ResponseCode
from preforkpop.system import process
from preforkpop.system.log import Level, Log
from preforkpop.system.sockets import adopt
from preforkpop.tls.stream import StreamError

Arguments = ParamSpec("Arguments")

SWEEP: Final = 1.0
"""Seconds between two looks for clients whose time is over."""

EVENTS: Final = 64
"""Events taken at once; for as many as epoll offers, it would want 12 kB each time."""

STOPPING: Final = reply.error("The server is stopping, try again later", ResponseCode.SYS_TEMP)
TOO_SLOW: Final = reply.error("No login in time; closing the connection.")
CROWDED: Final = reply.error("Too many connections; closing the oldest.", ResponseCode.SYS_TEMP)


@dataclass(frozen=True, slots=True)
class Wiring:
    """The descriptors of one login process."""

    admitted: socket.socket  # from the listener
    attempts: socket.socket  # to auth
    verdicts: socket.socket  # from auth, this process's own
    lifeline: int  # readable: stop; ended: the parent has gone
    number: int  # of the slot that auth answers to
    host: str  # for APOP's stamp
    crowd: Callable[[], int]  # clients before login in all login processes


class Server:
    """One login process."""

    def __init__(
        self,
        wiring: Wiring,
        settings: Settings,
        context: SSL.Context | None,
        slot: Slot,
        log: Log,
    ) -> None:
        self._wiring = wiring
        self._login = settings.login
        self._slot = slot
        self._log = log
        self._tls_at_once = [listener.tls == "implicit" for listener in settings.listeners]
        self._policies = Policies(settings, tls=context is not None)
        self._penalties = Penalties(
            settings.authentication.failure_delay, settings.authentication.maximum_delay
        )
        self._epoll = select.epoll()
        self._connections = Connections(self._epoll, slot, settings.login.timeout)
        self._attempts = Attempts(
            wiring.attempts,
            wiring.verdicts,
            wiring.number,
            connections=self._connections,
            policies=self._policies,
            slot=slot,
            log=log,
        )
        self._dialogue = Dialogue(self._connections, self._attempts, context, log)
        self._relay = Relay(self._connections, settings.maildrop.timeout)
        self._delayed: list[tuple[float, int, bytes]] = []  # when, whom, what to answer
        self._swept = 0.0
        self._taking = True
        self._stopping = False

    def run(self) -> int:
        """Serve until no more clients come and the last one has gone."""
        wiring = self._wiring
        admitted, verdicts = wiring.admitted.fileno(), wiring.verdicts.fileno()
        self._epoll.register(admitted, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self._epoll.register(verdicts, select.EPOLLIN)
        self._epoll.register(wiring.lifeline, select.EPOLLIN)
        self._slot.begin(os.getpid())
        find = self._connections.find
        with self._epoll:
            while self._serving():
                for descriptor, events in self._epoll.poll(self._patience(), EVENTS):
                    client = find(descriptor)
                    if client is not None:
                        try:
                            self._ready(client, descriptor, events)
                        except Exception as error:
                            self._failed(client, error)
                    elif descriptor == admitted:
                        self._take_admitted()
                    elif descriptor == verdicts:
                        self._take_verdict()
                    elif descriptor == wiring.lifeline:
                        self._lifeline(events)
                self._tick(time.monotonic())
        return process.EXIT_OK

    def _serving(self) -> bool:
        """Whether there is a client, or one can still come, or come back."""
        if self._taking or self._connections.by_number:
            return True
        return not self._stopping and time.monotonic() < self._attempts.due

    def _patience(self) -> float | None:
        """Seconds until there is something to do without an event."""
        if self._delayed:
            return max(0.0, min(SWEEP, self._delayed[0][0] - time.monotonic()))
        return SWEEP if self._connections.by_number or not self._taking else None

    def _attend(
        self,
        client: Client,
        action: Callable[Concatenate[Client, Arguments], None],
        *arguments: Arguments.args,
        **options: Arguments.kwargs,
    ) -> None:
        """Do something for a client; what goes wrong ends this client, and no other."""
        try:
            action(client, *arguments, **options)
        except Exception as error:
            self._failed(client, error)

    def _failed(self, client: Client, error: Exception) -> None:
        """What went wrong ends this client, unless it would only have had to wait."""
        match error:
            case BlockingIOError():
                return
            case StreamError():
                self._dialogue.cut_off(client, error)
                return
            case OSError():
                pass
            case _:
                where = traceback.extract_tb(error.__traceback__)[-1]
                self._log.error(
                    f"a client was cut off by a fault: {type(error).__name__}"
                    f" ({os.path.basename(where.filename)}:{where.lineno})"
                )
        self._connections.gone(client)

    def _ready(self, client: Client, descriptor: int, events: int) -> None:
        if client.phase is Phase.RELAY or descriptor != client.descriptor:
            self._relay.ready(client, descriptor, events)
        elif client.outward:
            self._connections.flush(client)
        elif client.interest():
            self._dialogue.read(client)
        else:
            self._connections.watch(client)

    # ------------------------------------------------------------------ connections come

    def _take_admitted(self) -> bool:
        """Take one connection; False when none waits."""
        try:
            got = channel.receive(self._wiring.admitted, 2, wait=False)
        except BlockingIOError:
            return False  # another process was quicker
        except channel.MessageError as error:
            self._log.error(f"from the listener: {error}")
            return True
        if got is None:
            self._retire()
            return False
        message, descriptors = got
        self._make_room()
        try:
            client, tls = self._admit(messages.Admitted.unpack(message), descriptors)
        except (channel.MessageError, LookupError, OSError) as error:
            channel.close_all(descriptors)
            self._log.error(f"from the listener: a connection that cannot be served: {error!r}")
        else:
            self._attend(client, self._dialogue.begin, tls=tls)
        return True

    def _admit(
        self, admitted: messages.Admitted, descriptors: channel.Descriptors
    ) -> tuple[Client, bool]:
        """The new client, and whether TLS starts at once."""
        policy = self._policies.find(admitted.listener, admitted.peer)
        machine = Authorization(policy, tls=False, stamp=self._stamp() if policy.apop else b"")
        sock = adopt(descriptors[0])
        client = self._connections.adopt(sock, descriptors[1], machine, admitted)
        return client, self._tls_at_once[admitted.listener]

    def _stamp(self) -> bytes:
        """APOP's stamp in the syntax of a msg-id (RFC 1939 section 7), never the same twice."""
        return b"<%d.%d.%s@%s>" % (
            os.getpid(),
            time.time_ns(),
            secrets.token_hex(4).encode(),
            self._wiring.host.encode("ascii", "replace"),
        )

    def _make_room(self) -> None:
        if self._wiring.crowd() < self._login.maximum_connections:
            return
        number = self._connections.waiting.oldest_of_heaviest()
        if number is not None:
            self._log.rarely(
                Level.WARNING,
                "closed the oldest connection of the address that holds most:"
                " login.maximum_connections is reached",
                time.monotonic(),
            )
            client = self._connections.by_number[number]
            self._attend(client, self._connections.end, CROWDED)

    def _lifeline(self, events: int) -> None:
        """The parent says stop, in an octet that stays for the others to see, or it has gone."""
        self._epoll.unregister(self._wiring.lifeline)
        if events & select.EPOLLIN:
            self._stop()
        else:
            self._retire()

    def _retire(self) -> None:
        """Take no more clients; serve those that are here to their end."""
        if self._taking:
            self._taking = False
            self._epoll.unregister(self._wiring.admitted.fileno())
            self._slot.retiring()

    def _stop(self) -> None:
        """Send away who has not logged in; sessions that are relayed go on until their workers end
        them."""
        self._stopping = True
        while self._taking and self._take_admitted():
            pass
        self._retire()
        for client in list(self._connections.by_number.values()):
            if client.phase in (Phase.AUTHORIZATION, Phase.PENALTY):
                self._attend(client, self._connections.end, STOPPING)
            elif client.phase is Phase.HANDSHAKE:
                self._connections.gone(client)

    # ------------------------------------------------------------------ logins come back

    def _take_verdict(self) -> None:
        try:
            taken = self._attempts.take()
        except BlockingIOError:
            return
        except EOFError:
            self._epoll.unregister(self._wiring.verdicts.fileno())
            return
        except (channel.MessageError, LookupError, OSError) as error:
            self._log.error(f"from auth: a verdict that cannot be carried out: {error!r}")
            return
        if taken is None:
            return
        client, verdict = taken
        line = reply.error(verdict.text, verdict.code)
        if verdict.code != ResponseCode.AUTH:
            self._refuse(client, line, counted=False)
            return
        now = time.monotonic()
        delay = self._penalties.failed(client.peer, now)
        client.phase = Phase.PENALTY
        client.deadline = inf
        self._connections.watch(client)
        heapq.heappush(self._delayed, (now + delay, client.number, line))

    def _refuse(self, client: Client, line: bytes, *, counted: bool) -> None:
        """Answer a refused login; the one failure too many, or a stop, ends the connection."""
        failures = client.machine.failures + counted
        if failures >= self._login.maximum_failures or self._stopping:
            if counted:
                self._log.notice(f"{failures} failed logins from {client.peer}")
            self._attend(client, self._connections.end, line)
        else:
            self._attend(client, self._dialogue.refused, line, counted=counted)

    # ------------------------------------------------------------------ time

    def _tick(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            _due, number, line = heapq.heappop(self._delayed)
            client = self._connections.by_number.get(number)
            if client is not None and client.phase is Phase.PENALTY:
                client.deadline = client.accepted + self._login.timeout
                self._refuse(client, line, counted=True)
        if now - self._swept >= SWEEP:
            self._swept = now
            for client in self._connections.overdue(now):
                self._attend(client, self._time_is_over)

    def _time_is_over(self, client: Client) -> None:
        if client.phase is Phase.AUTHORIZATION:
            self._connections.end(client, TOO_SLOW)
        elif client.phase is Phase.VERDICT:
            self._connections.end(client, BUSY)
        else:
            self._connections.gone(client)
