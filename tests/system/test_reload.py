"""A new configuration for a running server: by SIGHUP and by command, usable and not."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
from typing import Any

import pytest

from tests.support.certificates import issue
from tests.support.client import Client
from tests.support.fixtures import Servers
from tests.support.mailboxes import numbered
from tests.support.processes import Process
from tests.support.server import Server
from tests.support.site import Deployment, free_ports
from tests.support.waiting import wait_until


@pytest.fixture
def server(servers: Servers) -> Server:
    """A server with some mail."""
    server = servers.start()
    server.site.put(numbered(3))
    return server


def _reload(server: Server) -> None:
    mark = len(server.log)
    server.send_signal(signal.SIGHUP)
    server.log.wait("reloaded", mark)


def _serial(client: Client) -> int:
    assert isinstance(client.sock, ssl.SSLSocket)
    found: Any = client.sock.getpeercert()
    return int(found["serialNumber"], 16)


def test_a_new_configuration_is_for_new_clients_and_old_sessions_go_on(server: Server) -> None:
    site = server.site
    with server.session(tls="implicit") as old, server.client() as waiting:
        old.ok("DELE 1")
        site.configure({"login": {"processes": 1, "greeting": "a new greeting"}})
        _reload(server)
        with server.client() as new:
            assert b"a new greeting" in new.greeting
        assert b"a new greeting" not in waiting.greeting
        waiting.ok("USER nobody-special")
        assert old.ok("STAT").split()[1] == b"2"
        assert server.status()["draining_generations"] == 1
        old.quit()
    wait_until(lambda: server.status()["draining_generations"] == 0, "the old processes have ended")
    assert server.status()["login"]["processes"] == 1
    assert len(site.stored()) == 2


def test_a_client_that_came_before_a_reload_can_log_in_after_it(server: Server) -> None:
    with server.client() as clear, server.client(tls="implicit") as encrypted:
        _reload(server)
        assert clear.log_in("fred").startswith(b"+OK")
        clear.quit()
        assert encrypted.log_in("fred").startswith(b"+OK")
        encrypted.quit()


@pytest.mark.root
def test_more_clients_than_spare_workers_can_log_in_after_a_reload(servers: Servers) -> None:
    """A worker of a system user serves one session: the old processes need new ones."""
    users = [f"user{number}" for number in range(10)]
    server = servers.start(deployment=Deployment.SYSTEM, users=users)
    with contextlib.ExitStack() as stack:
        clients = {name: stack.enter_context(server.client()) for name in users}
        _reload(server)
        for name, client in clients.items():
            client.log_in(name)
        for client in clients.values():
            client.quit()


@pytest.mark.root  # /proc shows nobody else what the server has open
def test_reloads_leave_nothing_open(server: Server) -> None:
    def reload_once() -> int:
        _reload(server)
        with server.session(tls="implicit") as client:
            client.quit()
        wait_until(
            lambda: server.status()["draining_generations"] == 0, "the old processes have ended"
        )
        return len(Process(server.pid).links())

    first = reload_once()
    assert [reload_once() for _ in range(3)] == [first] * 3


def test_a_hang_up_of_the_terminal_is_a_reload_and_ends_nobody(server: Server) -> None:
    """It reaches all processes, not the master alone."""
    with server.session() as session, server.client(tls="implicit") as waiting:
        before = {one.pid for one in server.processes("login")}
        os.killpg(server.pid, signal.SIGHUP)
        server.log.wait("reloaded")
        assert before <= {one.pid for one in server.processes("login")}
        session.ok("STAT")
        session.quit()
        waiting.log_in("fred")
        waiting.quit()


@pytest.mark.parametrize("tls", ["off", "implicit"])
def test_no_connection_is_lost_by_reloads(server: Server, tls: str) -> None:
    for _ in range(5):
        mark = len(server.log)
        server.send_signal(signal.SIGHUP)
        for _ in range(5):
            with server.session(tls=tls) as client:
                assert client.ok("STAT").split()[1] == b"3"
                client.quit()
        server.log.wait("reloaded", mark)


def test_listeners_come_and_go(server: Server) -> None:
    site = server.site
    (port,) = free_ports(1)
    site.configure(
        {
            "listeners": [
                {"address": f"127.0.0.1:{port}", "tls": "off"},
                {"address": f"127.0.0.1:{site.tls_port}", "tls": "implicit"},
            ]
        }
    )
    _reload(server)
    with Client(port).greet() as client:
        assert b"STLS" not in client.listing("CAPA")
        client.log_in("fred")
        client.quit()
    with server.session(tls="implicit") as client:
        client.quit()
    with pytest.raises(ConnectionRefusedError):
        Client(site.port)


def test_admission_limits_change(server: Server) -> None:
    with server.client():
        server.site.configure({"admission": {"per_source": 1}})
        _reload(server)

        def refused() -> bool:
            with Client(server.site.port) as client:
                return client.line().startswith(b"-ERR [SYS/TEMP] Too many connections")

        wait_until(refused, "the limit is in force")
    server.site.configure({"admission": {"per_source": 0}})
    _reload(server)
    with server.client(), server.client():
        pass


def test_a_new_certificate_is_shown_to_new_clients(server: Server) -> None:
    site = server.site
    with server.session(tls="implicit") as old:
        first = _serial(old)
        site.certificate = issue(str(site.directory), "localhost", "127.0.0.1")
        site.give_away()
        site.configure({"tls": {"certificate": site.certificate}})
        _reload(server)
        with server.client(tls="implicit") as new, server.client(tls="stls") as newer:
            assert _serial(new) == _serial(newer) != first
        assert len(old.retrieve(1)) > 100
        old.quit()


BAD = [
    pytest.param({"pool": {"minimum_spar": 1}}, "minimum_spar", id="an unknown key"),
    pytest.param({"login": {"timeout": "soon"}}, "login.timeout", id="a wrong type"),
    pytest.param(
        {"tls": {"certificate": "/nonexistent.pem"}}, "/nonexistent.pem", id="a missing certificate"
    ),
    pytest.param({"service": {"run_dir": "/tmp/elsewhere"}}, "needs a restart", id="a move"),
    pytest.param(
        {"logging": {"target": "/nonexistent/log"}}, "/nonexistent/log", id="no place for the log"
    ),
]


@pytest.mark.parametrize(("changes", "named"), BAD)
def test_an_unusable_configuration_is_refused_and_the_old_one_stays(
    server: Server, changes: dict[str, Any], named: str
) -> None:
    site = server.site
    usable = site.config.read_text()
    generation = {one.pid for one in server.processes("login")}
    site.configure({"login": {"greeting": "never seen"}})
    site.configure(changes)
    server.send_signal(signal.SIGHUP)
    line = server.log.wait("not reloaded, the old configuration stays")
    assert named in line
    assert {one.pid for one in server.processes("login")} == generation
    with server.session() as client:
        assert b"never seen" not in client.greeting
        client.quit()
    site.config.write_text(usable)
    _reload(server)


def test_a_new_address_that_is_taken_is_refused(server: Server) -> None:
    site = server.site
    before = server.status()["listeners"]
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        site.configure({"listeners": [{"address": taken, "tls": "off"}]})
        server.send_signal(signal.SIGHUP)
        line = server.log.wait("not reloaded, the old configuration stays")
    assert taken in line
    assert server.status()["listeners"] == before
    with server.session() as client:
        client.quit()


def test_the_command_reload_says_what_is_wrong(server: Server) -> None:
    site = server.site
    done = site.run("reload")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    server.log.wait("reloaded")
    with site.config.open("a") as file:
        file.write("\n[nonsense]\n")
    done = site.run("reload")
    assert done.returncode in (1, 78)
    assert "nonsense" in done.stderr
    with server.session() as client:
        client.quit()


def test_the_users_file_is_read_anew_without_a_reload(server: Server) -> None:
    site = server.site
    with server.client() as client:
        client.ok("USER fred")
        assert client.says("PASS changed").startswith(b"-ERR [AUTH]")
    site.change_password("fred", "changed")

    def let_in() -> bool:
        with server.client() as client:
            client.ok("USER fred")
            return client.says("PASS changed").startswith(b"+OK")

    wait_until(let_in, "the new password is known")
