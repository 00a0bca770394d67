"""The listener between real sockets: the test is master, login and clients."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from preforkpop.ipc import channel
from preforkpop.ipc.messages import Admitted
from preforkpop.ipc.orders import Orders
from preforkpop.ipc.scoreboard import Scoreboard
from preforkpop.listener import main as listener_module
from preforkpop.listener.main import Listener
from preforkpop.listener.settings import Admission
from preforkpop.system.log import Level, Log
from preforkpop.system.sockets import listen, pair

PATIENCE = 20.0


def listening(host: str = "127.0.0.1") -> socket.socket:
    """A listening socket as the master makes it, on a port that is free."""
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.create_server((host.strip("[]"), 0), family=family) as free:
        port = free.getsockname()[1]
    [sock] = listen(f"{host}:{port}")
    return sock


@dataclass
class Passed:
    """A connection as login gets it."""

    admitted: Admitted
    sock: socket.socket
    lease: int

    def close(self) -> None:
        self.sock.close()
        os.close(self.lease)


class Front:
    """A listener in a thread, and what surrounds it."""

    def __init__(self, admission: Admission) -> None:
        self.sockets = [listening(), listening()]
        self.orders, control = pair()
        login, self.login = pair()
        self.lines, log = pair()
        self.board = Scoreboard(1)
        self._theirs = [control, log]
        self._opened: list[socket.socket | Passed] = []
        self._queues = [self.login]
        numbered = [(index, sock.dup()) for index, sock in enumerate(self.sockets)]
        for _index, sock in numbered:
            sock.setblocking(False)
        self.listener = Listener(
            numbered,
            control,
            login,
            admission,
            self.board.slot(0),
            Log(log, "listener", Level.DEBUG),
        )
        self._thread = threading.Thread(target=self.listener.run)
        self._thread.start()

    def connect(self, index: int = 0) -> socket.socket:
        """A client comes."""
        client = socket.create_connection(self.sockets[index].getsockname()[:2], timeout=PATIENCE)
        self._opened.append(client)
        return client

    def passed(self, queue: socket.socket | None = None) -> Passed:
        """Take a connection, as login."""
        queue = queue or self.login
        assert select.select([queue], [], [], PATIENCE)[0], "no connection was passed on"
        got = channel.receive(queue, 2)
        assert got is not None
        message, descriptors = got
        sock = socket.socket(fileno=descriptors[0])
        one = Passed(Admitted.unpack(message), sock, descriptors[1])
        self._opened.append(one)
        return one

    def ends(self, one: Passed) -> None:
        """The session ends."""
        self._opened.remove(one)
        one.close()

    def instruct(self, admission: Admission, *, again: bool = False) -> socket.socket:
        """Put orders in force, with the same sockets or new ones; the queue that is used now."""
        login, queue = pair()
        if not again:
            for sock in self.sockets:
                sock.close()
            self.sockets = [listening(), listening()]
        descriptors = [login.fileno(), *(sock.fileno() for sock in self.sockets)]
        before = self.listener._login
        channel.send(self.orders, Orders(admission, (0, 1)).pack(), descriptors)
        login.close()
        while self.listener._login is before:
            pass
        self._queues.append(queue)
        return queue

    def log(self) -> list[str]:
        """What was logged so far."""
        lines = []
        while select.select([self.lines], [], [], 0)[0]:
            lines.append(self.lines.recv(4096).decode())
        return lines

    def join(self) -> bool:
        """Whether it has ended."""
        self._thread.join(PATIENCE)
        return not self._thread.is_alive()

    def close(self) -> None:
        self.orders.close()
        ended = self.join()
        for one in self._opened:
            one.close()
        rest = [sock for _index, sock in self.listener._listening.values()]
        rest.append(self.listener._login)
        for sock in (*self.sockets, *self._theirs, *self._queues, self.lines, *rest):
            sock.close()
        for lease in self.listener._leases:
            os.close(lease)
        assert ended


@pytest.fixture
def make() -> Iterator[Callable[[Admission], Front]]:
    """Start a listener with these admission rules."""
    made: list[Front] = []

    def start(admission: Admission) -> Front:
        made.append(Front(admission))
        return made[-1]

    yield start
    for front in made:
        front.close()


@pytest.fixture
def front(make: Callable[[Admission], Front]) -> Front:
    """A listener without limits."""
    return make(Admission())


class TestPassingOn:
    def test_login_learns_who_came_where_and_when(self, front: Front) -> None:
        before = time.monotonic()
        client = front.connect(1)
        one = front.passed()
        assert (one.admitted.listener, one.admitted.peer) == (1, "127.0.0.1")
        assert one.admitted.port == client.getsockname()[1]
        assert before <= one.admitted.accepted <= time.monotonic()

    def test_the_socket_is_the_clients_in_blocking_mode_without_delay(self, front: Front) -> None:
        client = front.connect()
        one = front.passed()
        assert os.get_blocking(one.sock.fileno())
        assert one.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        one.sock.sendall(b"+OK\r\n")
        assert client.recv(100) == b"+OK\r\n"

    def test_nothing_is_read_from_the_client(self, front: Front) -> None:
        client = front.connect()
        client.sendall(b"USER fred\r\n")
        assert front.passed().sock.recv(100) == b"USER fred\r\n"

    def test_the_listener_holds_nothing_but_the_lease(self, front: Front) -> None:
        client = front.connect()
        front.ends(front.passed())
        assert client.recv(100) == b""

    def test_connections_keep_their_order(self, front: Front) -> None:
        clients = [front.connect() for _ in range(200)]
        ports = [front.passed().admitted.port for _ in clients]
        assert ports == [client.getsockname()[1] for client in clients]

    def test_the_scoreboard_counts_them(self, front: Front) -> None:
        for _ in range(3):
            front.connect()
            front.passed()
        front.connect()
        front.passed()
        assert front.board.read(0).sessions >= 3


class TestLimits:
    def refusal(self, front: Front) -> bytes:
        client = front.connect()
        return b"".join(iter(lambda: client.recv(1000), b""))

    def test_one_too_many_is_told_why(self, make: Callable[[Admission], Front]) -> None:
        front = make(Admission(instances=2))
        for _ in range(2):
            front.connect()
        assert self.refusal(front) == b"-ERR [SYS/TEMP] Too many sessions, try again later\r\n"

    def test_one_too_many_from_an_address(self, make: Callable[[Admission], Front]) -> None:
        front = make(Admission(per_source=1))
        front.connect()
        assert self.refusal(front).startswith(b"-ERR [SYS/TEMP] Too many connections from")

    def test_or_is_dropped_without_a_word(self, make: Callable[[Admission], Front]) -> None:
        front = make(Admission(instances=1, refusal="drop"))
        front.connect()
        assert self.refusal(front) == b""

    def test_a_session_that_ended_makes_room(self, make: Callable[[Admission], Front]) -> None:
        front = make(Admission(instances=1))
        for _ in range(5):
            front.connect()
            one = front.passed()
            assert self.refusal(front)
            front.ends(one)
            while front.listener._ledger.total:
                pass

    def test_a_session_whose_holder_was_killed_makes_room(
        self, make: Callable[[Admission], Front]
    ) -> None:
        front = make(Admission(instances=1))
        front.connect()
        one = front.passed()
        pid = os.fork()
        if pid == 0:
            while True:
                signal.pause()
        front.ends(one)
        assert self.refusal(front)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while front.listener._ledger.total:
            pass
        front.connect()
        assert front.passed()

    def test_a_flood_is_one_line_in_the_log(self, make: Callable[[Admission], Front]) -> None:
        front = make(Admission(instances=1))
        front.connect()
        for _ in range(50):
            assert self.refusal(front)
        [line] = front.log()
        assert line.endswith("refused a connection: admission.instances is reached")


class TestFullQueue:
    def test_clients_wait_in_the_backlog_and_none_is_lost(self, front: Front) -> None:
        clients = []
        while front.listener._held is None:
            clients.append(front.connect())
        later = [front.connect() for _ in range(20)]
        assert not front.listener._accepting
        ports = [front.passed().admitted.port for _ in (*clients, *later)]
        assert ports == [client.getsockname()[1] for client in (*clients, *later)]

    def test_ends_of_sessions_are_noticed_meanwhile(self, front: Front) -> None:
        front.connect()
        one = front.passed()
        while front.listener._held is None:
            front.connect()
        total = front.listener._ledger.total
        front.ends(one)
        while front.listener._ledger.total == total:
            pass

    def test_new_orders_free_it(self, front: Front) -> None:
        while front.listener._held is None:
            front.connect()
        queue = front.instruct(Admission(), again=True)
        last = front.connect().getsockname()[1]
        while front.passed(queue).admitted.port != last:
            pass


class TestNoDescriptors:
    def test_accepting_pauses_and_goes_on(
        self, front: Front, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listener_module, "PAUSE", 0.05)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        client = socket.socket()
        client.settimeout(PATIENCE)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            client.connect(front.sockets[0].getsockname())
            while front.listener._resume == 0:
                pass
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert front.passed().admitted.port == client.getsockname()[1]
        client.close()
        [line] = front.log()
        assert "limit of open files" in line

    def test_a_lost_login_queue_is_told_and_does_not_end_it(
        self, front: Front, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listener_module, "PAUSE", 0.01)
        front.login.close()
        client = front.connect()
        assert client.recv(100) == b""
        queue = front.instruct(Admission())
        front.connect()
        front.passed(queue)
        assert any("login cannot be reached" in line for line in front.log())


class TestOrders:
    def test_new_sockets_and_a_new_queue(self, front: Front) -> None:
        front.connect()
        front.passed()
        queue = front.instruct(Admission())
        client = front.connect(1)
        one = front.passed(queue)
        assert one.admitted.port == client.getsockname()[1]
        assert one.admitted.listener == 1

    def test_the_old_sockets_are_left_to_whoever_has_them(self, front: Front) -> None:
        old = [sock.dup() for sock in front.sockets]
        front.instruct(Admission())
        front.connect()
        front.passed(front._queues[-1])  # the orders are in force
        with socket.create_connection(old[0].getsockname()):
            connection, _address = old[0].accept()
            connection.close()
        for sock in old:
            sock.close()

    def test_sessions_count_across_them(self, front: Front) -> None:
        front.connect()
        one = front.passed()
        queue = front.instruct(Admission(per_source=1), again=True)
        refused = front.connect()
        assert refused.recv(100).startswith(b"-ERR [SYS/TEMP] Too many connections")
        front.ends(one)
        while front.listener._ledger.total:
            pass
        front.connect()
        assert front.passed(queue)

    @pytest.mark.parametrize("message", [b"login", b"{}", b"\xff", b""])
    def test_orders_that_cannot_be_read_change_nothing(self, front: Front, message: bytes) -> None:
        channel.send(front.orders, message, (0, 0))
        front.connect()
        assert front.passed()
        assert any("orders from the master" in line for line in front.log())

    def test_a_wrong_number_of_descriptors_changes_nothing(self, front: Front) -> None:
        channel.send(front.orders, Orders(Admission(), (0, 1)).pack(), (0,))
        front.connect()
        assert front.passed()


def test_the_end_of_orders_is_the_end(front: Front) -> None:
    front.orders.close()
    assert front.join()


def test_an_ipv6_client_is_named_by_its_address(front: Front) -> None:
    for sock in front.sockets:
        sock.close()
    front.sockets = [listening("[::1]"), listening("[::1]")]
    queue = front.instruct(Admission(), again=True)
    front.connect()
    assert front.passed(queue).admitted.peer == "::1"


def test_nothing_is_left_open(front: Front) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        client = front.connect()
        front.ends(front.passed())
        client.close()
        front._opened.remove(client)
    while front.listener._ledger.total:
        pass
    assert len(os.listdir("/proc/self/fd")) == before
