"""The start: what keeps a server from starting, how it says so, and what it does not mind."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.fixtures import Servers
from tests.support.processes import Process, of_session
from tests.support.site import Deployment
from tests.support.waiting import wait_until

EXIT_CONFIG = 78

FAULTS = [
    pytest.param({"pool": {"maximum_wrokers": 3}}, ["pool.maximum_wrokers"], id="an unknown key"),
    pytest.param({"nonsense": {"a": 1}}, ["nonsense"], id="an unknown section"),
    pytest.param({"login": {"timeout": "soon"}}, ["login.timeout"], id="a wrong type"),
    pytest.param({"login": {"timeout": 0}}, ["login.timeout"], id="out of range"),
    pytest.param(
        {"login": {"timeout": 0}, "maildrop": {"format": "mh", "timeout": 1}},
        ["login.timeout", "maildrop.format", "maildrop.timeout"],
        id="several",
    ),
    pytest.param({"tls": {"certificate": ""}}, ["implicit"], id="TLS without a certificate"),
    pytest.param({"tls": {"certificate": "/none.pem"}}, ["/none.pem"], id="no certificate"),
    pytest.param({"listeners": [{"address": "nowhere"}]}, ["listeners"], id="no address"),
    pytest.param(
        {"logging": {"target": "/nonexistent/log"}}, ["/nonexistent/log"], id="no place for a log"
    ),
    pytest.param({"service": {"run_dir": "/proc/run"}}, ["/proc"], id="no place to run"),
]


@pytest.mark.parametrize("command", [("serve",), ("serve", "--daemon")], ids=lambda one: one[-1])
@pytest.mark.parametrize(("changes", "named"), FAULTS)
def test_a_configuration_that_cannot_be_used_stops_the_start(
    servers: Servers, command: tuple[str, ...], changes: dict[str, Any], named: list[str]
) -> None:
    site = servers.site(settings=changes)
    done = site.run(*command)
    assert done.returncode == EXIT_CONFIG
    lines = done.stderr.splitlines()
    assert len(lines) == len(named), done.stderr
    for word in named:
        assert any(word in line for line in lines), done.stderr
    assert not (site.run_dir / "preforkpop.pid").exists()


def test_a_fault_is_told_with_file_line_and_what_is_accepted(servers: Servers) -> None:
    site = servers.site(settings={"maildrop": {"format": "mh"}})
    number = site.config.read_text().splitlines().index('format = "mh"') + 1
    line = site.run("serve").stderr
    assert line.startswith(f"{site.config}:{number}: maildrop.format: ")
    assert '"mbox"' in line
    assert '"maildir"' in line


@pytest.mark.parametrize("command", [("serve",), ("serve", "--daemon")], ids=lambda one: one[-1])
def test_an_address_that_is_taken_stops_the_start(
    servers: Servers, command: tuple[str, ...]
) -> None:
    site = servers.site()
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        site.configure({"listeners": [*site.listeners(), {"address": address, "tls": "off"}]})
        done = site.run(*command)
    assert done.returncode == 1
    assert address in done.stderr
    assert "Address already in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [("serve",), ("serve", "--daemon")], ids=lambda one: one[-1])
def test_a_second_server_is_refused_and_the_first_goes_on(
    servers: Servers, command: tuple[str, ...]
) -> None:
    server = servers.start()
    done = server.site.run(*command)
    assert done.returncode == 1
    assert str(server.pid) in done.stderr
    assert "running already" in done.stderr
    assert (server.site.run_dir / "preforkpop.pid").read_text() == f"{server.pid}\n"
    assert server.status()["pid"] == server.pid


def test_all_addresses_are_ipv4_ones_too(servers: Servers) -> None:
    site = servers.site()
    site.configure({"listeners": [{"address": f"[::]:{site.port}", "tls": "off"}]})
    servers.start(site)
    with Client(site.port).greet() as client:
        client.log_in("fred")
        client.quit()
    if Path("/proc/net/if_inet6").exists():
        with socket.create_connection(("::1", site.port)) as sock, Client.of(sock) as client:
            client.greet().log_in("fred")
            client.quit()


def test_a_pid_file_and_a_control_socket_that_were_left_behind_do_not_matter(
    servers: Servers,
) -> None:
    site = servers.site()
    site.run_dir.mkdir(mode=0o755)
    os.chown(site.run_dir, *site.starter)
    (site.run_dir / "preforkpop.pid").write_text("1\n")
    os.chown(site.run_dir / "preforkpop.pid", *site.starter)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(site.run_dir / "control"))
        os.chown(site.run_dir / "control", *site.starter)
    server = servers.start(site)
    assert (site.run_dir / "preforkpop.pid").read_text() == f"{server.pid}\n"
    assert server.status()["pid"] == server.pid


def test_when_the_master_is_killed_the_rest_ends_and_a_new_one_can_start(
    servers: Servers,
) -> None:
    server = servers.start(users=["idle", "finishing"])
    servers.forget(server)
    with (
        server.session("idle", tls="implicit") as idle,
        server.session("finishing", tls="stls") as finishing,
    ):
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait()
        finishing.ok("NOOP")
        finishing.quit()
        idle.quit()
    wait_until(lambda: not of_session(server.pid), "all processes have ended")
    server.log.wait_end()
    again = servers.start(server.site)
    with again.session("idle") as client:
        client.quit()


def test_a_new_master_can_start_while_sessions_of_a_killed_one_go_on(servers: Servers) -> None:
    server = servers.start(users=["old", "new"])
    servers.forget(server)
    with server.session("old", tls="implicit") as old:
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait()
        again = servers.start(server.site)
        with again.session("new") as new:
            new.quit()
        with again.client() as second:
            second.ok("USER old")
            assert second.says("PASS secret").startswith(b"-ERR [IN-USE]")
        old.quit()
    wait_until(lambda: not of_session(server.pid), "all processes have ended")
    server.log.wait_end()


def test_a_daemon_serves_when_the_command_returns(servers: Servers) -> None:
    site = servers.site()
    log = site.directory / "log"
    site.configure({"logging": {"target": str(log)}})
    done = site.run("serve", "--daemon")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    master = Process(int((site.run_dir / "preforkpop.pid").read_text()))
    try:
        with Client(site.port).greet() as client:
            client.log_in("fred")
            client.quit()
        assert master.session != os.getsid(0)
        assert str((master.directory / "cwd").readlink()) == "/"
        assert site.run("status").returncode == 0
    finally:
        stopped = site.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert not of_session(master.session)
    text = log.read_text()
    assert f"serves, pid {master.pid}" in text
    assert text.rstrip().endswith("stopped")


@pytest.mark.root
def test_another_account_cannot_control_the_server(servers: Servers) -> None:
    server = servers.start(deployment=Deployment.VIRTUAL)
    ordinary = servers.site(deployment=Deployment.ORDINARY)
    ordinary.configure({"service": {"run_dir": str(server.site.run_dir)}})
    for command in ("status", "stop", "reload", "who"):
        done = ordinary.run(command)
        assert done.returncode == 1
        assert "Permission denied" in done.stderr
    assert server.status()["stopping"] is False
