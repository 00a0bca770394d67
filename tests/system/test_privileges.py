"""Who runs as whom, and who can reach what, as the kernel tells it."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from tests.support.client import Client
from tests.support.fixtures import Servers
from tests.support.mailboxes import message
from tests.support.processes import Process, connection_inode, connections
from tests.support.server import Server
from tests.support.site import Deployment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.root

USERS = ("alice", "bob")
NONE_BUT_BOUNDING = ("CapInh", "CapPrm", "CapEff", "CapAmb")


@pytest.fixture(scope="module")
def server(module_servers: Servers) -> Server:
    """A server with system users, who have mail."""
    server = module_servers.start(deployment=Deployment.SYSTEM, users=USERS)
    for name in USERS:
        server.site.put([message(f"for {name}")], name)
    return server


@pytest.fixture(scope="module")
def virtual(module_servers: Servers) -> Server:
    """A server with virtual users, who have mail."""
    server = module_servers.start(deployment=Deployment.VIRTUAL, users=USERS)
    for name in USERS:
        server.site.put([message(f"for {name}")], name)
    return server


def _has_no_power(process: Process) -> bool:
    capabilities = process.capabilities()
    return (
        all(capabilities[name] == 0 for name in NONE_BUT_BOUNDING)
        and process.status()["NoNewPrivs"] == "1"
    )


def _is_root(process: Process) -> bool:
    return 0 in process.ids("Uid")


def _holders(server: Server, client: Client) -> list[Process]:
    """The server's processes that have the client's connection open."""
    port = client.sock.getpeername()[1]
    inode = connection_inode(port, client.sock.getsockname()[1])
    return [one for one in server.processes() if inode in one.sockets()]


@pytest.mark.parametrize("role", ["listener", "login", "login, parent"])
def test_who_talks_to_clients_has_no_power_and_sees_nothing(server: Server, role: str) -> None:
    nobody = pwd.getpwnam("nobody")
    processes = server.processes(role)
    assert processes
    for process in processes:
        assert process.ids("Uid") == [nobody.pw_uid] * 4
        assert process.ids("Gid") == [nobody.pw_gid] * 4
        assert process.ids("Groups") == []
        assert _has_no_power(process)
        assert process.root() == str(server.site.run_dir / "empty")
        assert os.listdir(process.directory / "root") == []
        assert os.listdir(process.directory / "cwd") == []


def test_the_logger_has_no_power(server: Server) -> None:
    nobody = pwd.getpwnam("nobody")
    (logger,) = server.processes("logger")
    assert logger.ids("Uid") == [nobody.pw_uid] * 4
    assert logger.ids("Groups") == []
    assert all(logger.capabilities()[name] == 0 for name in NONE_BUT_BOUNDING)


def test_only_who_has_to_be_is_root(server: Server) -> None:
    with server.session("alice"), server.client():
        roots = {
            one.title.removeprefix("preforkpop: ") for one in server.processes() if _is_root(one)
        }
        assert roots <= {"master", "auth", "nursery", "worker, idle"}


def test_workers_of_virtual_users_never_are_root(virtual: Server) -> None:
    mail = pwd.getpwnam("mail")
    with virtual.session("alice"):
        workers = virtual.processes("worker")
        assert len(workers) > 1
        for worker in workers:
            assert worker.ids("Uid") == [mail.pw_uid] * 4
            assert worker.ids("Gid") == [mail.pw_gid] * 4
            assert worker.ids("Groups") == []
            assert _has_no_power(worker)


@pytest.mark.parametrize("tls", ["off", "stls", "implicit"])
def test_a_worker_is_its_user_and_nobody_else(server: Server, tls: str) -> None:
    mail = grp.getgrnam("mail").gr_gid
    with server.session("alice", tls=tls), server.session("bob", tls=tls):
        for name in USERS:
            user, worker = server.site.user(name), server.process_of(name)
            assert worker.ids("Uid") == [user.uid] * 4
            assert worker.ids("Gid") == [user.gid] * 4
            assert set(worker.ids("Groups")) - {user.gid} == {mail}
            assert _has_no_power(worker)


def test_before_login_only_a_login_process_has_the_connection(server: Server) -> None:
    logins = {one.pid for one in server.processes("login")}
    with server.client() as client:
        client.ok("CAPA")
        wait_until(
            lambda: {one.pid for one in _holders(server, client)} <= logins,
            "the connection is with a login process alone",
        )
        assert len(_holders(server, client)) == 1


def test_after_login_only_the_users_worker_has_the_connection(server: Server) -> None:
    with server.session("alice") as client:
        worker = server.process_of("alice")
        wait_until(
            lambda: _holders(server, client) == [worker],
            "the connection is with the user's worker alone",
        )
        client.retrieve(1)
        assert _holders(server, client) == [worker]


def test_under_tls_the_connection_stays_with_login_and_the_worker_has_a_pipe(
    server: Server,
) -> None:
    logins = {one.pid for one in server.processes("login")}
    with server.session("alice", tls="implicit") as client:
        wait_until(
            lambda: {one.pid for one in _holders(server, client)} <= logins,
            "the connection is with a login process alone",
        )
        client.retrieve(1)
        assert len(_holders(server, client)) == 1


@pytest.mark.parametrize("tls", ["off", "implicit"])
def test_no_root_process_has_any_connection(server: Server, tls: str) -> None:
    ports = (server.site.port, server.site.tls_port)
    with server.session("alice", tls=tls) as client, server.client(tls=tls) as other:
        other.ok("CAPA")

        def reachable_by_root() -> set[int]:
            found = {inode for port in ports for inode in connections(port)}
            assert len(found) == 2
            roots = [one for one in server.processes() if _is_root(one)]
            return found & {inode for root in roots for inode in root.sockets()}

        wait_until(lambda: not reachable_by_root(), "no connection is with a root process")
        client.ok("NOOP")
        assert not reachable_by_root()


def test_only_login_processes_have_openssl_which_holds_the_private_key(server: Server) -> None:
    loaded = {process.title for process in server.processes() if "/cryptography/" in process.maps()}
    assert loaded == {"preforkpop: login, parent", "preforkpop: login"}


def test_what_processes_make_is_private(server: Server) -> None:
    site = server.site
    with server.session("alice"):
        state = site.directory / "state" / "users" / "alice"
        found = state.stat()
        assert (found.st_uid, found.st_mode & 0o777) == (site.user("alice").uid, 0o700)
        control = (site.run_dir / "control").stat()
        assert (control.st_uid, control.st_mode & 0o777) == (0, 0o600)
        pid_file = (site.run_dir / "preforkpop.pid").stat()
        assert (pid_file.st_uid, pid_file.st_mode & 0o777) == (0, 0o644)
