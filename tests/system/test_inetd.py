"""inetd mode: one process tree for each connection, started by a super-server."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from functools import partial

import pytest

from tests.support.client import Client
from tests.support.fixtures import Servers
from tests.support.mailboxes import message, transmitted, varied
from tests.support.processes import Process, connection_inode, of_session
from tests.support.site import USUAL, Deployment, Site, free_ports
from tests.support.skips import find
from tests.support.waiting import PATIENCE, wait_until

EXIT_CONFIG = 78
DEPLOYMENTS = [
    pytest.param(Deployment.SYSTEM, marks=pytest.mark.root),
    pytest.param(Deployment.VIRTUAL, marks=pytest.mark.root),
    pytest.param(Deployment.ORDINARY),
]


class SuperServer:
    """Accepts a connection and starts the program with it, as inetd does."""

    def __init__(self, site: Site, *words: str) -> None:
        self.site = site
        self.log = site.log_to_file()
        self._words = words
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *, tls: str = "off") -> tuple[Client, subprocess.Popen[bytes]]:
        """A connected client, and the program that has the other end."""
        client = socket.create_connection(("127.0.0.1", self.port))
        accepted, _address = self._listening.accept()
        with accepted:
            process = subprocess.Popen(
                self.site.command("inetd", *self._words),
                stdin=accepted.fileno(),
                stdout=accepted.fileno(),
                stderr=accepted.fileno(),
                start_new_session=True,
                cwd="/",
                **self.site.identity,
            )
        self._started.append(process)
        return Client.of(client, tls=tls), process

    def close(self) -> None:
        """Nothing that was started is left."""
        self._listening.close()
        for process in self._started:
            assert process.wait(PATIENCE) is not None
            wait_until(partial(_is_gone, process.pid), "no process is left")


def _is_gone(session: int) -> bool:
    return not of_session(session)


@pytest.fixture(params=DEPLOYMENTS, ids=lambda one: one.value)
def inetd(request: pytest.FixtureRequest, servers: Servers) -> Iterator[SuperServer]:
    """A super-server for a site with mail."""
    site = servers.site(deployment=request.param)
    site.put(varied())
    made = SuperServer(site)
    yield made
    made.close()


@pytest.mark.parametrize("tls", ["off", "stls"])
def test_a_whole_session(inetd: SuperServer, tls: str) -> None:
    stored = inetd.site.stored()
    client, process = inetd.start()
    with client.greet():
        if tls == "stls":
            client.stls()
        client.ok("USER fred")
        assert client.says("PASS wrong").startswith(b"-ERR [AUTH]")
        client.log_in("fred")
        for number, octets in enumerate(stored, 1):
            assert client.retrieve(number) == transmitted(octets)
        client.ok("DELE 2")
        client.quit()
    assert process.wait(PATIENCE) == 0
    assert inetd.site.stored() == stored[:1] + stored[2:]
    assert "Stats: fred 1 " in inetd.log.read_text()


def test_implicit_tls(servers: Servers) -> None:
    site = servers.site()
    site.put(varied())
    inetd = SuperServer(site, "--tls", "implicit")
    client, process = inetd.start(tls="implicit")
    with client.greet():
        client.log_in("fred")
        assert client.ok("STAT").split()[1] == str(len(varied())).encode()
        client.quit()
    assert process.wait(PATIENCE) == 0
    inetd.close()


def test_too_many_wrong_passwords_end_the_connection(inetd: SuperServer) -> None:
    client, process = inetd.start()
    with client.greet():
        for _ in range(3):
            client.ok("USER fred")
            assert client.says("PASS wrong").startswith(b"-ERR [AUTH]")
        assert client.closed()
    assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("said", [b"", b"USER fred\r\n", b"QUIT\r\n"], ids=["", "user", "quit"])
def test_a_client_that_leaves_before_login_leaves_no_process(
    inetd: SuperServer, said: bytes
) -> None:
    client, process = inetd.start()
    with client.greet():
        client.send(said)
    assert process.wait(PATIENCE) == 0


def test_a_client_that_leaves_after_login_removes_nothing(inetd: SuperServer) -> None:
    client, process = inetd.start()
    with client.greet():
        client.log_in("fred")
        client.ok("DELE 1")
    assert process.wait(PATIENCE) == 0
    assert len(inetd.site.stored()) == len(varied())


@pytest.mark.root
def test_root_never_has_the_connection_while_bytes_are_read_from_it(servers: Servers) -> None:
    site = servers.site(deployment=Deployment.SYSTEM)
    site.put([message("one")])
    inetd = SuperServer(site)
    client, process = inetd.start()

    def holders() -> list[Process]:
        inode = connection_inode(inetd.port, client.sock.getsockname()[1])
        return [one for one in of_session(process.pid) if inode in one.sockets()]

    with client.greet():
        (login,) = holders()
        assert login.title == "preforkpop: login"
        assert 0 not in login.ids("Uid")
        assert login.root() == str(site.run_dir / "empty")
        client.log_in("fred")
        wait_until(lambda: [one.pid for one in holders()] == [process.pid], "one holder alone")
        user = site.user()
        assert Process(process.pid).ids("Uid") == [user.uid] * 4
        assert Process(process.pid).ids("Gid") == [user.gid] * 4
        client.retrieve(1)
        client.quit()
    inetd.close()


def test_another_connection_for_the_same_user_is_refused(inetd: SuperServer) -> None:
    first, _process = inetd.start()
    second, _other = inetd.start()
    with first.greet(), second.greet():
        first.log_in("fred")
        second.ok("USER fred")
        assert second.says("PASS secret").startswith(b"-ERR [IN-USE]")
        assert second.closed()
        first.quit()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_who_has_not_logged_in_when_it_is_killed_is_told_to_come_back(
    inetd: SuperServer, number: signal.Signals
) -> None:
    client, process = inetd.start()
    with client.greet():
        process.send_signal(number)
        process.wait(PATIENCE)
        client.ok("USER fred")
        assert client.says("PASS secret").startswith(b"-ERR [SYS/TEMP]")
        assert client.closed()


@pytest.mark.parametrize("tls", ["off", "stls"])
def test_a_session_that_is_killed_removes_nothing_and_leaves_no_lock(
    inetd: SuperServer, tls: str
) -> None:
    client, process = inetd.start()
    with client.greet():
        if tls == "stls":
            client.stls()
        client.log_in("fred")
        client.ok("DELE 1")
        process.kill()
        assert client.closed()
    client, process = inetd.start()
    with client.greet():
        client.log_in("fred")
        assert client.ok("STAT").split()[1] == str(len(varied())).encode()
        client.quit()


def test_a_bad_configuration_is_not_told_to_the_client(servers: Servers) -> None:
    inetd = SuperServer(servers.site())
    inetd.site.configure({"nonsense": {"key": 1}})
    client, process = inetd.start()
    with client:
        assert client.rest() == b""
    assert process.wait(PATIENCE) == EXIT_CONFIG
    inetd.close()


def test_what_is_no_connection_is_refused(servers: Servers) -> None:
    done = servers.site().run("inetd")
    assert (done.returncode, done.stdout) == (EXIT_CONFIG, "")


@pytest.mark.root
@pytest.mark.peer("xinetd")
@pytest.mark.parametrize("deployment", [Deployment.SYSTEM, USUAL], ids=lambda one: one.value)
def test_xinetd_starts_it_for_each_connection(servers: Servers, deployment: Deployment) -> None:
    site = servers.site(deployment=deployment, users=["fred", "jane"])
    for name in ("fred", "jane"):
        site.put(varied(), name)
    site.log_to_file()
    (port,) = free_ports(1)
    program, *words = site.command("inetd")
    rules = site.directory / "xinetd.conf"
    rules.write_text(
        "defaults\n{\n  instances = 20\n}\nservice pop3-test\n{\n"
        f"  type = UNLISTED\n  port = {port}\n  bind = 127.0.0.1\n  socket_type = stream\n"
        f"  protocol = tcp\n  wait = no\n  user = root\n  server = {program}\n"
        f"  server_args = {' '.join(words)}\n  disable = no\n}}\n"
    )
    program = find("xinetd") or ""
    words = [program, "-dontfork", "-f", str(rules), "-pidfile", f"{site.directory}/xinetd.pid"]
    xinetd = subprocess.Popen(words, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: _listens(port), "xinetd listens")
        for tls in ("off", "stls"):
            with Client(port).greet() as fred, Client(port).greet() as jane:
                if tls == "stls":
                    fred.stls()
                for client, name in ((fred, "fred"), (jane, "jane")):
                    client.log_in(name)
                    stored = site.stored(name)
                    assert client.retrieve(5) == transmitted(stored[4])
                    client.quit()
    finally:
        xinetd.terminate()
        xinetd.wait(PATIENCE)
        wait_until(partial(_is_gone, xinetd.pid), "no process is left")


def _listens(port: int) -> bool:
    try:
        Client(port).close()
    except ConnectionRefusedError:
        return False
    return True
