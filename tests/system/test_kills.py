"""kill -9 of each kind of process under load: who else notices, and what is left of it."""

from __future__ import annotations

import enum
import math
import os
import signal
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from tests.support.client import Client
from tests.support.fixtures import Servers
from tests.support.mailboxes import numbered, token
from tests.support.processes import Process
from tests.support.server import Server
from tests.support.site import USUAL, Deployment
from tests.support.waiting import wait_until

CLIENTS = 6
KILLS = 5
UPDATES = 8
LIMIT = 40  # connections at once from one address
NAMES = [f"user{number}" for number in range(CLIENTS)]
HOLDERS = {"off": "holder-clear", "stls": "holder-stls", "implicit": "holder-tls"}
TRANSPORTS = tuple(HOLDERS)
AS_ROOT_TOO = [pytest.param(Deployment.SYSTEM, marks=pytest.mark.root), USUAL]


class Stage(enum.Enum):
    """How far a client had come when it lost its connection."""

    CONNECT = "before the greeting"
    AUTHORIZATION = "before the answer to the login"
    TRANSACTION = "after login"


class Lost(Exception):  # noqa: N818
    """The connection broke, or the server had no answer for this client."""


@dataclass(slots=True)
class Polling:
    """Clients that log in, look and leave, one session after another, until they are told."""

    server: Server
    sessions: int = 0
    lost: Counter[tuple[str, Stage]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Polling:
        for number, name in enumerate(NAMES):
            tls = TRANSPORTS[number % len(TRANSPORTS)]
            self._threads.append(threading.Thread(target=self._client, args=(name, tls)))
            self._threads[-1].start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _client(self, name: str, tls: str) -> None:
        while not self._over.is_set():
            stage = [Stage.CONNECT]
            try:
                self._session(name, tls, stage)
            except (Lost, OSError, ssl.SSLError):
                with self._lock:
                    self.lost[tls, stage[0]] += 1
            except AssertionError as error:
                if "the server closed the connection" not in str(error):
                    self.wrong.append(f"{name}, {stage[0].value}: {error}")
                    return
                with self._lock:
                    self.lost[tls, stage[0]] += 1
            else:
                with self._lock:
                    self.sessions += 1

    def _session(self, name: str, tls: str, stage: list[Stage]) -> None:
        with self.server.client(tls=tls) as client:
            stage[0] = Stage.AUTHORIZATION
            client.ok(f"USER {name}")
            answer = client.says("PASS secret")
            if answer.startswith(b"-ERR [SYS/TEMP]"):
                raise Lost
            assert answer.startswith(b"+OK"), answer
            stage[0] = Stage.TRANSACTION
            assert client.ok("STAT").split()[1] == b"3"
            assert len(client.uidl()) == 3
            assert len(client.retrieve(2)) > 200
            client.quit()

    def more(self, sessions: int) -> None:
        """Wait until so many more sessions have come to their end."""
        goal = self.sessions + sessions
        wait_until(lambda: self.sessions >= goal or self.wrong, f"{sessions} more sessions")
        assert not self.wrong, self.wrong


@pytest.fixture(params=AS_ROOT_TOO, ids=lambda one: one.value)
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """A server with a limit on connections that must not be worn out."""
    server = servers.start(
        deployment=request.param,
        users=[*NAMES, *HOLDERS.values()],
        settings={"admission": {"per_source": LIMIT}},
    )
    for name in server.site.users:
        server.site.put(numbered(3), name)
    return server


@pytest.fixture
def holders(server: Server) -> Iterator[dict[str, Client]]:
    """Sessions that last over the whole test, one of each kind; each has marked a message."""
    clients = {tls: server.session(name, tls=tls) for tls, name in HOLDERS.items()}
    for client in clients.values():
        client.ok("DELE 1")
    yield clients
    for client in clients.values():
        client.close()


def _is_dead(process: Process) -> bool:
    return not process.alive


def _kill(server: Server, find: Callable[[], list[Process]], polling: Polling) -> None:
    """Kill one process after another, with sessions under way in between."""
    for _ in range(KILLS):
        victim = wait_until(find, "a process of its kind")[0]
        os.kill(victim.pid, signal.SIGKILL)
        wait_until(partial(_is_dead, victim), "its death")
        polling.more(2 * CLIENTS)


def _all_is_well(server: Server, holders: dict[str, Client], survivors: set[str]) -> None:
    """Whoever had nothing to do with the dead is served on, and all counts are right."""
    for tls, client in holders.items():
        if tls in survivors:
            assert client.ok("STAT").split()[1] == b"2"
            client.quit()
        else:
            assert client.closed()
            client.close()
    server.wait_quiet()
    wait_until(lambda: _is_complete(server), "a process of each kind as before")
    assert not [one.name for one in server.site.mail.iterdir() if one.name.endswith(".lock")]
    for tls, name in HOLDERS.items():
        assert len(server.site.stored(name)) == (2 if tls in survivors else 3)
        with server.session(name, tls=tls) as client:
            client.quit()
    server.wait_quiet()
    _connections_are_free(server)


def _is_complete(server: Server) -> bool:
    """Whether the dead have successors."""
    current = {"listener": 1, "logger": 1, "login, parent": 1}
    if any(len(server.processes(role)) != count for role, count in current.items()):
        return False
    return all(len(server.processes(role)) >= 2 for role in ("login", "auth"))


def _connections_are_free(server: Server) -> None:
    """The limit on connections from one address can be used up to the last one."""
    clients: list[Client] = []
    try:
        wait_until(lambda: _fill(server, clients), f"{LIMIT} free connections")
        with Client(server.site.port) as one_more:
            assert one_more.line().startswith(b"-ERR [SYS/TEMP] Too many connections")
    finally:
        for client in clients:
            client.close()


def _fill(server: Server, clients: list[Client]) -> bool:
    while len(clients) < LIMIT:
        client = Client(server.site.port)
        if client.line().startswith(b"-ERR"):  # the end of another session is on its way
            client.close()
            return False
        clients.append(client)
    return True


def _stages(polling: Polling, *tls: str) -> set[Stage]:
    """How far clients of these kinds had come that lost their connection."""
    return {stage for (kind, stage) in polling.lost if kind in (tls or TRANSPORTS)}


def test_the_listener(server: Server, holders: dict[str, Client]) -> None:
    server.expect("listener process .* ended by signal SIGKILL")
    with Polling(server) as polling:
        _kill(server, lambda: server.processes("listener"), polling)
    assert _stages(polling) <= {Stage.CONNECT}
    assert polling.lost.total() <= KILLS * CLIENTS
    _all_is_well(server, holders, set(TRANSPORTS))


def test_a_login_process(server: Server, holders: dict[str, Client]) -> None:
    server.expect("a login process .* ended by signal SIGKILL")
    with Polling(server) as polling:
        _kill(server, lambda: server.processes("login"), polling)
    assert Stage.TRANSACTION not in _stages(polling, "off")
    held_by = {tls: _is_open(client) for tls, client in holders.items()}
    assert held_by["off"]
    _all_is_well(server, holders, {tls for tls, is_open in held_by.items() if is_open})


def _is_open(client: Client) -> bool:
    try:
        return client.says("NOOP").startswith(b"+OK")
    except (AssertionError, OSError):
        return False


def test_the_parent_of_the_login_processes(server: Server, holders: dict[str, Client]) -> None:
    server.expect("the login parent ended by signal SIGKILL")
    with Polling(server) as polling:
        _kill(server, lambda: server.processes("login, parent"), polling)
    assert polling.lost == Counter()
    _all_is_well(server, holders, set(TRANSPORTS))


def test_an_auth_process(server: Server, holders: dict[str, Client]) -> None:
    server.expect("auth process .* ended by signal SIGKILL")
    with Polling(server) as polling:
        _kill(server, lambda: server.processes("auth"), polling)
    assert _stages(polling) <= {Stage.AUTHORIZATION}
    assert polling.lost.total() <= KILLS
    _all_is_well(server, holders, set(TRANSPORTS))


def test_the_nursery(server: Server, holders: dict[str, Client]) -> None:
    server.expect("nursery process .* ended by signal SIGKILL")
    with Polling(server) as polling:
        _kill(server, lambda: server.processes("nursery"), polling)
    assert polling.lost == Counter()
    _all_is_well(server, holders, set(TRANSPORTS))


def test_an_idle_worker(server: Server, holders: dict[str, Client]) -> None:
    server.expect("worker process .* ended by signal SIGKILL|died in a session")
    with Polling(server) as polling:
        _kill(server, lambda: server.processes("worker, idle"), polling)
    assert polling.lost.total() <= KILLS  # one may have got a session at that moment
    _all_is_well(server, holders, set(TRANSPORTS))


@pytest.mark.parametrize("tls", TRANSPORTS)
def test_a_worker_that_serves(server: Server, holders: dict[str, Client], tls: str) -> None:
    server.expect(f"worker process .* ended by signal SIGKILL|died in a session of {HOLDERS[tls]}")
    with Polling(server) as polling:
        for _ in range(KILLS):
            os.kill(server.process_of(HOLDERS[tls]).pid, signal.SIGKILL)
            assert holders[tls].closed()
            holders[tls].close()
            holders[tls] = server.session(HOLDERS[tls], tls=tls)
            assert holders[tls].ok("STAT").split()[1] == b"3", "a deletion without QUIT"
            holders[tls].ok("DELE 1")
            polling.more(CLIENTS)
    assert polling.lost == Counter()
    _all_is_well(server, holders, set(TRANSPORTS))


@pytest.mark.parametrize("deployment", AS_ROOT_TOO, ids=lambda one: one.value)
def test_a_worker_in_an_update(servers: Servers, deployment: Deployment) -> None:
    """Whenever it is killed: all of its messages are removed or none, and nothing is left of it."""
    server = servers.start(deployment=deployment)
    server.expect("worker process .* ended by signal SIGKILL|died in a session of fred")
    site = server.site
    messages = numbered(4000, size=4000)
    chosen = range(1, len(messages), 2)
    duration = _update(server, messages, chosen, math.inf)
    for attempt in range(UPDATES):
        _update(server, messages, chosen, duration * (attempt + 1) / UPDATES)
        count = wait_until(partial(_count, server), "the repair is done")
        left = [token(one) for one in site.stored()]
        all_of_them = [token(one) for one in messages]
        rest = all_of_them[1::2]
        assert left in (all_of_them, rest)
        assert count == len(left)
        assert [one.name for one in site.mail.iterdir()] == ["fred"]
        state = site.directory / "state" / "users" / "fred"
        assert {one.name for one in state.iterdir()} <= {"index", "session"}


def _count(server: Server) -> int:
    """How many messages a new session finds; 0 while a repair has the maildrop."""
    with server.client() as client:
        client.ok("USER fred")
        answer = client.says("PASS secret")
        if answer.startswith(b"-ERR [IN-USE]"):
            return 0
        assert answer.startswith(b"+OK"), answer
        count = int(client.ok("STAT").split()[1])
        client.quit()
        return count


def _update(server: Server, messages: list[bytes], chosen: Iterable[int], patience: float) -> float:
    """Have a session remove messages, and kill its worker so many seconds after QUIT; how long it
    took if it could finish."""
    server.site.clear()
    server.site.put(messages)
    with server.session() as client:
        for number in chosen:
            client.send(b"DELE %d\r\n" % number)
        for _number in chosen:
            client.line()
        worker = server.process_of("fred")
        client.send(b"QUIT\r\n")
        began = time.monotonic()
        if patience < math.inf:
            time.sleep(patience)
            if worker.alive:
                os.kill(worker.pid, signal.SIGKILL)
        client.rest()
        return time.monotonic() - began


def test_the_logger(server: Server, holders: dict[str, Client]) -> None:
    server.expect("logger process .* ended by signal SIGKILL")
    with Polling(server) as polling:
        _kill(server, lambda: server.processes("logger"), polling)
    assert polling.lost == Counter()
    _all_is_well(server, holders, set(TRANSPORTS))
    server.stop()
    done = len(server.log.find("Stats: user"))
    assert done == polling.sessions, "lines of the log were lost"
