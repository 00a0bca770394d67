"""One session on a stream, with a maildrop that is easy to break."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from preforkpop.ipc.messages import Grant
from preforkpop.ipc.scoreboard import WAITING, Scoreboard
from preforkpop.maildrop.base import MaildropError, Place
from preforkpop.system.log import Log
from preforkpop.worker import session as session_module
from preforkpop.worker.session import End, Session
from preforkpop.worker.settings import Maildrop as Settings
from tests.unit.pop3.fake_maildrop import FakeMaildrop

GRANT = Grant(
    tls=False,
    passwords=True,
    port=4711,
    accepted=0.0,
    deadline=30.0,
    uid=1000,
    gid=1000,
    groups=(),
    user="fred",
    home="/home/fred",
    path="/var/mail/fred",
    peer="192.0.2.7",
    mechanism="USER",
    rest=b"",
)


class Store(FakeMaildrop):
    """A maildrop as workers get it."""

    def __init__(self, *messages: bytes) -> None:
        super().__init__(list(messages), chunk=3)
        self.notes: list[str] = []
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Run:
    """A session in a thread of its own, and the client's end of its stream."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        store: Store | Exception,
        grant: Grant = GRANT,
        timeout: float = 600.0,
    ) -> None:
        self.store = store
        self.places: list[Place] = []
        self.ends: list[End] = []
        self.board = Scoreboard(1)
        self.client, stream = socket.socketpair()
        self.client.settimeout(30)
        monkeypatch.setattr(session_module, "open_maildrop", self._open)
        self.session = Session(
            stream,
            grant,
            Settings(timeout=timeout),
            self.board.slot(0),
            Log(None, "worker"),
            mechanisms=("USER", "PLAIN"),
            statistics=True,
            version="1",
        )
        self._stream = stream
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _open(self, place: Place) -> Store:
        self.places.append(place)
        if isinstance(self.store, Exception):
            raise self.store
        return self.store

    def _run(self) -> None:
        with self._stream:
            self.ends.append(self.session.run("/state/fred"))

    def say(self, octets: bytes) -> bytes:
        self.client.sendall(octets)
        return self.client.recv(65536)

    def until_it_ends(self) -> None:
        self._thread.join(30)

    def end(self) -> tuple[bytes, End]:
        """Everything that still comes, and how the session ended."""
        self.client.shutdown(socket.SHUT_WR)
        rest = b"".join(iter(lambda: self.client.recv(65536), b""))
        self._thread.join(30)
        self.client.close()
        return rest, self.ends[0]


@pytest.fixture
def store() -> Store:
    return Store(b"one\n", b"two\n")


def test_the_login_is_answered_when_the_maildrop_is_held(
    monkeypatch: pytest.MonkeyPatch, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Run(monkeypatch, store)
    assert run.client.recv(1000) == b"+OK fred has 2 visible messages (0 hidden) in 10 octets.\r\n"
    place = run.places[0]
    assert (place.path, place.state, place.owner) == ("/var/mail/fred", "/state/fred", 1000)
    run.say(b"DELE 1\r\n")
    assert run.say(b"QUIT\r\n").startswith(b"+OK")
    assert run.end() == (b"", End.QUIT)
    assert store.closed
    assert "Stats: fred 1 5 1 5 192.0.2.7 192.0.2.7" in capfd.readouterr().err


def test_what_was_pipelined_behind_the_login_is_answered_in_the_same_write(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    run = Run(monkeypatch, store, replace(GRANT, rest=b"STAT\r\nLIST\r\n"))
    assert run.client.recv(1000).count(b"+OK") == 3
    run.end()


def test_thousands_of_commands_that_come_at_once_are_answered(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    run = Run(monkeypatch, store)
    run.client.recv(1000)
    run.client.sendall(b"LIST 1\r\n" * 6000 + b"QUIT\r\n")
    rest, end = run.end()
    assert rest.count(b"+OK 1 5\r\n") == 6000
    assert end is End.QUIT


def test_a_client_that_goes_away_removes_nothing(
    monkeypatch: pytest.MonkeyPatch, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Run(monkeypatch, store)
    run.client.recv(1000)
    run.say(b"DELE 1\r\n")
    assert run.end() == (b"", End.CLOSED)
    assert store.updates == []
    logged = capfd.readouterr().err
    assert "Stats: fred 0 0 2 10 192.0.2.7 192.0.2.7" in logged  # marked is not removed
    assert "session of fred from 192.0.2.7 ended: the client closed the connection" in logged


def test_a_client_that_is_silent_for_too_long_is_left_without_an_answer_or_an_update(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    run = Run(monkeypatch, store, replace(GRANT, rest=b"DELE 1\r\n"), timeout=0.1)
    assert run.client.recv(1000).endswith(b"+OK Message 1 has been deleted.\r\n")
    assert run.client.recv(1000) == b""
    assert run.end() == (b"", End.TIMEOUT)
    assert store.updates == []


def test_a_client_that_takes_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store(b"x" * 8_000_000)
    store.chunk = 1_000_000
    run = Run(monkeypatch, store, replace(GRANT, rest=b"RETR 1\r\n"), timeout=0.1)
    run.until_it_ends()
    assert run.ends == [End.STALLED]
    run.client.close()


def test_a_maildrop_that_cannot_be_opened_is_told_to_client_and_log(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    error = MaildropError("SYS/PERM", "Your mailbox is damaged", "/var/mail/fred: no From_ line")
    run = Run(monkeypatch, error)
    run.client.sendall(b"STAT\r\nQUIT\r\n")  # sent ahead: it must not hide the reason
    assert run.end() == (b"-ERR [SYS/PERM] Your mailbox is damaged\r\n", End.MAILDROP)
    assert "fred: [SYS/PERM] /var/mail/fred: no From_ line" in capfd.readouterr().err


def test_a_fault_that_the_store_did_not_expect_is_no_wrong_password(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Run(monkeypatch, OSError(5, "Input/output error", "/var/mail/fred"))
    reply, end = run.end()
    assert reply.startswith(b"-ERR [SYS/TEMP] ")
    assert end is End.MAILDROP
    assert "/var/mail/fred: Input/output error" in capfd.readouterr().err


def test_notes_of_the_store_are_logged(
    monkeypatch: pytest.MonkeyPatch, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    store.notes.append("the index was made anew")
    Run(monkeypatch, store).end()
    assert "fred: the index was made anew" in capfd.readouterr().err


def test_the_title_names_the_message_that_is_being_sent(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    titles: list[str] = []
    monkeypatch.setattr(session_module.process, "title", titles.append)
    run = Run(monkeypatch, store)
    run.client.recv(1000)
    for command in (b"STAT\r\n", b"RETR 2\r\n", b"NOOP\r\n"):
        run.say(command)
    run.end()
    plain = "worker, fred from 192.0.2.7"
    assert titles == [plain, f"{plain} [RETR 2]", plain]


def test_the_scoreboard_says_what_goes_on(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    run = Run(monkeypatch, store)
    run.client.recv(1000)
    run.say(b"RETR 2\r\n")
    while run.board.state(0) != WAITING:
        pass
    entry = run.board.read(0)
    assert (entry.command, entry.message) == ("RETR", 2)
    run.end()


def test_a_fault_of_the_store_is_told_to_client_and_log_and_the_session_goes_on(
    monkeypatch: pytest.MonkeyPatch, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    store.fail_after = 0
    run = Run(monkeypatch, store)
    run.client.recv(1000)
    assert run.say(b"RETR 1\r\n").startswith(b"-ERR [SYS/TEMP] ")
    assert run.say(b"QUIT\r\n").startswith(b"+OK")
    assert run.end()[1] is End.QUIT
    assert "fred: [SYS/TEMP] spool: changed" in capfd.readouterr().err


def test_a_message_that_cannot_be_sent_whole_has_no_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store(b"a line\n")
    store.fail_after = 2
    run = Run(monkeypatch, store)
    run.client.recv(1000)
    run.client.sendall(b"RETR 1\r\nSTAT\r\n")
    sent, end = run.end()
    assert end is End.CUT
    assert not sent.endswith(b"\r\n.\r\n")


def test_a_large_message_arrives_whole_however_slowly_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = b"".join(b"%07d\n" % number for number in range(300_000))
    store = Store(message)
    store.chunk = 1_000_000
    run = Run(monkeypatch, store)
    run.client.recv(1000)
    run.client.sendall(b"RETR 1\r\n")
    received = b""
    while not received.endswith(b"\r\n.\r\n"):
        received += run.client.recv(10_000)
    status, _, body = received.partition(b"\r\n")
    assert status == b"+OK %d octets" % store.octets
    assert body == message.replace(b"\n", b"\r\n") + b".\r\n"
    assert run.end()[1] is End.CLOSED


def test_many_bad_commands_end_the_session_and_remove_nothing(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    run = Run(monkeypatch, store)
    run.client.recv(1000)
    run.client.sendall(b"DELE 1\r\n" + b"nonsense\r\n" * 12)
    assert run.end()[1] is End.BAD_COMMANDS
    assert store.updates == []


@pytest.fixture(autouse=True)
def threads_end() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before
