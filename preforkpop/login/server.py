"""The event loop of a login process: clients before login, and TLS relays after it.

Run by each login process, without privileges, in an empty root directory. A client is greeted,
speaks the AUTHORIZATION state, and leaves forward: its socket goes to auth with the credentials.
Only a verdict of refusal brings it back. A client that speaks TLS stays, and its plaintext is
relayed.

Client sockets stay in blocking mode, because a worker will block on them; here every call says that
it does not wait.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import secrets
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from OpenSSL import SSL

from preforkpop.config.settings import Settings
from preforkpop.ipc import channel, messages
from preforkpop.ipc.scoreboard import Slot
from preforkpop.login.client import Client, Crowd, Phase
from preforkpop.login.penalties import Penalties
from preforkpop.login.policies import Policies
from preforkpop.login.relay import Relay
from preforkpop.pop3 import reply
from preforkpop.pop3.authorization import Action, Authorization
from preforkpop.system import process
from preforkpop.system.log import Log, escape
from preforkpop.system.sockets import pair
from preforkpop.tls.stream import RECORD, StreamError, TlsStream

READ = 4096  # octets taken from a client at once before login
SWEEP = 1.0  # seconds between two looks for clients whose time is over
VERDICT_TIMEOUT = 30.0  # seconds for password check and a free worker
STOPPING = reply.error("The server is stopping, try again later", "SYS/TEMP")
TOO_SLOW = reply.error("No login in time; closing the connection.")
CROWDED = reply.error("Too many connections; closing the oldest.", "SYS/TEMP")
BUSY = reply.error("The server is busy, try again later", "SYS/TEMP")


@dataclass(frozen=True, slots=True)
class Wiring:
    """The descriptors of one login process."""

    admitted: socket.socket  # from the listener
    attempts: socket.socket  # to auth
    verdicts: socket.socket  # from auth, this process's own
    lifeline: int  # readable when the parent has gone
    number: int  # of the slot that auth answers to
    host: str  # for APOP's stamp
    crowd: Callable[[], int]  # clients that all login processes hold together


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
        self._context = context
        self._slot = slot
        self._log = log
        self._implicit = [listener.tls == "implicit" for listener in settings.listeners]
        self._policies = Policies(settings, tls=context is not None)
        self._penalties = Penalties(
            settings.authentication.failure_delay, settings.authentication.maximum_delay
        )
        self._epoll = select.epoll()
        self._relay = Relay(self._epoll, self._gone)
        self._clients = Crowd()
        self._by_descriptor: dict[int, Client] = {}
        self._delayed: list[tuple[float, int, bytes]] = []
        self._numbers = 0
        self._passed = 0
        self._swept = 0.0
        self._taking = True
        self._timeout_idle = settings.maildrop.timeout

    def run(self) -> int:
        """Serve until the listener has gone and the last client too."""
        wiring = self._wiring
        self._epoll.register(wiring.admitted.fileno(), select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self._epoll.register(wiring.verdicts.fileno(), select.EPOLLIN)
        self._epoll.register(wiring.lifeline, 0)
        self._slot.begin(os.getpid())
        while self._taking or self._clients.by_number:
            for descriptor, events in self._epoll.poll(self._wait()):
                self._dispatch(descriptor, events)
            self._tick(time.monotonic())
        return process.EXIT_OK

    def _wait(self) -> float | None:
        if self._delayed:
            return max(0.0, min(SWEEP, self._delayed[0][0] - time.monotonic()))
        return SWEEP if self._clients.by_number else None

    def _dispatch(self, descriptor: int, events: int) -> None:
        client = self._by_descriptor.get(descriptor)
        if client is not None:
            self._client_ready(client, descriptor, events)
        elif descriptor == self._wiring.admitted.fileno():
            self._take_admitted()
        elif descriptor == self._wiring.verdicts.fileno():
            self._take_verdicts()
        elif descriptor == self._wiring.lifeline:
            self._retire()

    # ------------------------------------------------------------------ connections come

    def _take_admitted(self) -> None:
        try:
            got = channel.receive(self._wiring.admitted, 2, wait=False)
        except BlockingIOError:
            return  # another process was quicker
        except channel.MessageError as error:
            self._log.error(f"the listener sent {error}")
            return
        if got is None:
            self._retire()
            return
        message, descriptors = got
        self._begin(messages.Admitted.unpack(message), descriptors[0], descriptors[1])

    def _begin(self, admitted: messages.Admitted, descriptor: int, lease: int) -> None:
        self._make_room()
        policy = self._policies.find(admitted.listener, admitted.peer)
        client = self._adopt(
            socket.socket(fileno=descriptor),
            lease,
            Authorization(policy, tls=False, stamp=self._stamp() if policy.apop else b""),
            admitted,
        )
        if self._implicit[admitted.listener]:
            self._start_tls(client)
            return
        client.greeted = True
        self._watch(client, select.EPOLLIN)
        self._send(client, client.machine.greeting())

    def _adopt(
        self,
        sock: socket.socket,
        lease: int,
        machine: Authorization,
        known: messages.Admitted | messages.Client,
    ) -> Client:
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
        self._clients.add(client)
        self._slot.clients(len(self._clients))
        return client

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
        client = self._clients.oldest_of_heaviest()
        if client is not None:
            self._log.notice(
                f"closed a waiting connection from {client.peer}: login.maximum_connections is"
                " reached"
            )
            self._end(client, CROWDED)

    # ------------------------------------------------------------------ clients speak

    def _client_ready(self, client: Client, descriptor: int, events: int) -> None:
        try:
            if client.phase is Phase.RELAY or descriptor != client.descriptor:
                self._relay.ready(client, descriptor, events)
            elif client.phase is Phase.CLOSING or events & select.EPOLLOUT:
                self._flush(client)
            else:
                self._read(client)
        except StreamError as error:
            self._log.info(f"TLS with {client.peer} failed: {escape(str(error))}")
            self._drop_tls(client)
        except OSError:
            self._gone(client)

    def _read(self, client: Client) -> None:
        data = client.sock.recv(READ if client.tls is None else RECORD + 1024, socket.MSG_DONTWAIT)
        if not data:
            self._gone(client)
        elif client.tls is None:
            self._answer(client, *client.machine.receive(data))
        else:
            client.tls.feed(data)
            self._read_tls(client)

    def _answer(self, client: Client, octets: bytes, action: Action) -> None:
        if action is Action.LOGIN:
            if octets:
                self._send(client, octets)
            self._attempt(client)
        elif action is Action.CLOSE:
            self._probe_warning(client)
            self._end(client, octets)
        else:
            if octets:
                self._send(client, octets)
            if action is Action.STLS:
                self._start_tls(client)

    def _probe_warning(self, client: Client) -> None:
        if client.machine.failures:
            self._log.notice(f"{client.machine.failures} failed logins from {client.peer}")

    # ------------------------------------------------------------------ TLS

    def _start_tls(self, client: Client) -> None:
        assert self._context is not None
        client.tls = TlsStream(self._context)
        client.phase = Phase.HANDSHAKE
        self._watch(client, select.EPOLLIN)

    def _read_tls(self, client: Client) -> None:
        stream = client.tls
        assert stream is not None
        if client.phase is Phase.HANDSHAKE:
            done = stream.handshake()
            self._send_raw(client, stream.outgoing())
            if not done:
                return
            client.phase = Phase.AUTHORIZATION
            client.machine.tls_started()
            if not client.greeted:
                client.greeted = True
                self._send(client, client.machine.greeting())
        while client.phase is Phase.AUTHORIZATION:
            data = stream.receive()
            if data is None:
                self._send_raw(client, stream.outgoing())
                return
            if not data:
                self._gone(client)
                return
            self._answer(client, *client.machine.receive(data))

    def _drop_tls(self, client: Client) -> None:
        """Send OpenSSL's alert, if it made one, and close."""
        if client.tls is not None and not client.outward:
            with contextlib.suppress(OSError):
                client.sock.send(client.tls.outgoing(), socket.MSG_DONTWAIT)
        self._gone(client)

    # ------------------------------------------------------------------ login

    def _attempt(self, client: Client) -> None:
        """Hand the session to auth, with all that is known of it."""
        machine = client.machine
        login = machine.login
        assert login is not None
        try:
            mine, stream = self._session_stream(client)
        except OSError as error:
            self._log.warning(f"cannot make a relay: {error.strerror}; raise the limit of files")
            self._end(client, BUSY)
            return
        attempt = messages.Attempt(
            client=messages.Client(
                listener=client.listener,
                port=client.port,
                accepted=client.accepted,
                number=client.number if mine else 0,
                tls=client.tls is not None,
                failures=machine.failures,
                bad_commands=machine.bad_commands,
                peer=client.peer,
                stamp=machine.stamp,
            ),
            slot=self._wiring.number,
            deadline=time.monotonic() + VERDICT_TIMEOUT,
            mechanism=login.mechanism,
            user=login.user,
            authzid=login.authzid,
            secret=login.secret,
            rest=machine.rest(),
        )
        try:
            channel.send(
                self._wiring.attempts, attempt.pack(), (stream.fileno(), client.lease), wait=False
            )
        except (OSError, channel.MessageError):
            self._log.warning(
                "auth is too slow or cannot be reached: raise authentication.processes"
            )
            self._end(client, BUSY)
            return
        self._passed += 1
        self._slot.sessions(self._passed)
        if mine is None:
            self._forget(client)
            client.close()
        else:
            stream.close()
            self._await_verdict(client, mine)

    def _session_stream(self, client: Client) -> tuple[socket.socket | None, socket.socket]:
        """What a worker will talk to: the client's socket itself, or the far end of a relay."""
        if client.tls is None:
            return None, client.sock
        return pair(socket.SOCK_STREAM)

    def _await_verdict(self, client: Client, relay: socket.socket) -> None:
        client.phase = Phase.VERDICT
        os.close(client.lease)
        client.lease = -1
        self._watch(client, 0)
        self._by_descriptor[relay.fileno()] = client
        self._relay.attach(client, relay)

    def _take_verdicts(self) -> None:
        try:
            got = channel.receive(self._wiring.verdicts, 2, wait=False)
        except BlockingIOError:
            return
        except channel.MessageError as error:
            self._log.error(f"auth sent {error}")
            return
        if got is None:
            self._epoll.unregister(self._wiring.verdicts.fileno())
            return
        message, descriptors = got
        verdict = messages.Verdict.unpack(message)
        client = self._returned(verdict, descriptors)
        if client is None:
            return
        now = time.monotonic()
        if verdict.code != reply.ResponseCode.AUTH:
            self._refused(client, reply.error(verdict.text, verdict.code), failed=False)
            return
        client.phase = Phase.PENALTY
        due = now + self._penalties.failed(client.peer, now)
        line = reply.error(verdict.text, verdict.code)
        heapq.heappush(self._delayed, (due, client.number, line))

    def _returned(
        self, verdict: messages.Verdict, descriptors: channel.Descriptors
    ) -> Client | None:
        """The client a verdict is about; one in clear text comes back with it."""
        known = verdict.client
        if not known.number:
            machine = Authorization(
                self._policies.find(known.listener, known.peer),
                tls=False,
                stamp=known.stamp,
                failures=known.failures,
                bad_commands=known.bad_commands,
                pending=verdict.rest,
            )
            sock = socket.socket(fileno=descriptors[0])
            client = self._adopt(sock, descriptors[1], machine, known)
            client.greeted = True
            return client
        waiting = self._clients.by_number.get(known.number)
        if waiting is None or waiting.phase is not Phase.VERDICT:
            channel.close_all(descriptors)
            return None
        os.close(descriptors[0])
        waiting.lease = descriptors[1]
        relay = self._relay.detach(waiting)
        del self._by_descriptor[relay]
        waiting.machine.restore(verdict.rest)
        return waiting

    def _refused(self, client: Client, line: bytes, *, failed: bool) -> None:
        """Answer a login that auth refused, and go on with what the client had sent behind it."""
        client.phase = Phase.AUTHORIZATION
        machine = client.machine
        if failed and machine.failures + 1 >= self._login.maximum_failures:
            self._probe_warning(client)
            self._end(client, line)
            return
        self._watch(client, select.EPOLLIN)
        try:
            self._answer(client, *machine.refused(line, counted=failed))
            if client.tls is not None and client.phase is Phase.AUTHORIZATION:
                self._read_tls(client)
        except StreamError:
            self._drop_tls(client)
        except OSError:
            self._gone(client)

    # ------------------------------------------------------------------ sending and closing

    def _send(self, client: Client, octets: bytes) -> None:
        if client.tls is not None and client.tls.established:
            client.tls.send(octets)
            octets = client.tls.outgoing()
        self._send_raw(client, octets)

    def _send_raw(self, client: Client, octets: bytes) -> None:
        """Send what fits; keep the rest and stop reading until it has gone."""
        if client.outward:
            client.outward += octets
            return
        if not octets:
            return
        try:
            sent = client.sock.send(octets, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        if sent < len(octets):
            client.outward = octets[sent:]
            self._watch(client, select.EPOLLOUT)

    def _flush(self, client: Client) -> None:
        octets, client.outward = client.outward, b""
        self._send_raw(client, octets)
        if client.outward:
            return
        if client.phase is Phase.CLOSING:
            self._gone(client)
        else:
            self._watch(client, select.EPOLLIN)

    def _end(self, client: Client, octets: bytes) -> None:
        """Say the last words and close, without waiting for a client that does not listen."""
        if client.phase in (Phase.VERDICT, Phase.RELAY):
            self._gone(client)
            return
        client.phase = Phase.CLOSING
        try:
            if octets:
                self._send(client, octets)
            if client.tls is not None:
                client.tls.close()
                self._send_raw(client, client.tls.outgoing())
        except (OSError, StreamError):
            client.outward = b""
        if not client.outward:
            self._gone(client)

    def _gone(self, client: Client) -> None:
        """Close a client and forget it."""
        if client.number not in self._clients.by_number:
            return
        self._forget(client)
        client.close()

    def _forget(self, client: Client) -> None:
        self._watch(client, 0)
        del self._by_descriptor[client.descriptor]
        if client.relay is not None:
            del self._by_descriptor[self._relay.detach(client)]
        self._clients.remove(client)
        self._slot.clients(len(self._clients))

    def _watch(self, client: Client, events: int) -> None:
        if events == client.watching:
            return
        if not client.watching:
            self._epoll.register(client.descriptor, events)
        elif events:
            self._epoll.modify(client.descriptor, events)
        else:
            self._epoll.unregister(client.descriptor)
        client.watching = events

    # ------------------------------------------------------------------ time

    def _tick(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            _due, number, line = heapq.heappop(self._delayed)
            waiting = self._clients.by_number.get(number)
            if waiting is not None and waiting.phase is Phase.PENALTY:
                self._refused(waiting, line, failed=True)
        if now - self._swept >= SWEEP:
            self._swept = now
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        """End the clients whose time is over. The oldest stand first."""
        limit = self._login.timeout
        for client in list(self._clients.by_number.values()):
            if client.phase is Phase.RELAY:
                if now - client.progress > self._timeout_idle and client.outward:
                    self._gone(client)
            elif client.phase is not Phase.VERDICT and now - client.accepted > limit:
                if client.phase is Phase.CLOSING or client.phase is Phase.HANDSHAKE:
                    self._gone(client)
                else:
                    self._end(client, TOO_SLOW)

    def _retire(self) -> None:
        """Take no more clients; serve those that are here to their end."""
        if self._taking:
            self._taking = False
            self._epoll.unregister(self._wiring.admitted.fileno())
            self._epoll.unregister(self._wiring.lifeline)
            self._slot.retiring()
