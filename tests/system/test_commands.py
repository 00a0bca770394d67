"""The administrator's commands against a running server."""

from __future__ import annotations

import json

import pytest

from tests.support.fixtures import Servers
from tests.support.mailboxes import numbered
from tests.support.server import Server
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def server(module_servers: Servers) -> Server:
    """A server with two users."""
    server = module_servers.start(users=["fred", "jane"])
    for name in ("fred", "jane"):
        server.site.put(numbered(3), name)
    return server


def test_who_shows_each_session(server: Server) -> None:
    server.wait_quiet()
    with server.session("fred") as first, server.session("jane", tls="stls") as second:
        first.ok("STAT")
        second.retrieve(2)
        wait_until(
            lambda: {one["state"] for one in server.who()} == {"waiting for the client"},
            "both sessions wait for their clients",
        )
        done = server.site.run("who", "--json")
        assert done.returncode == 0
        found = {one["user"]: one for one in json.loads(done.stdout)}
        assert set(found) == {"fred", "jane"}
        assert [found[name]["tls"] for name in ("fred", "jane")] == [False, True]
        assert {one["peer"] for one in found.values()} == {"127.0.0.1"}
        assert (found["jane"]["command"], found["jane"]["message"]) == ("RETR", 2)
        assert found["fred"]["command"] == "STAT"
        assert all(0 <= one["idle"] <= one["since"] for one in found.values())
        lines = server.site.run("who").stdout.splitlines()
        assert [line.split()[1] for line in lines] == ["USER", "fred", "jane"]


def test_who_says_that_nobody_is_there(server: Server) -> None:
    server.wait_quiet()
    assert server.site.run("who").stdout == "nobody is logged in\n"
    assert json.loads(server.site.run("who", "--json").stdout) == []


def test_status_counts(server: Server) -> None:
    server.wait_quiet()
    before = server.status()
    with server.session("fred") as fred, server.client() as waiting, server.client() as failing:
        failing.ok("USER jane")
        assert failing.says("PASS wrong").startswith(b"-ERR [AUTH]")
        fred.ok("NOOP")
        waiting.ok("CAPA")
        done = server.site.run("status", "--json")
        assert done.returncode == 0
        during = json.loads(done.stdout)
        assert during["sessions"] == 1
        assert during["login"]["connections"] == 2
        assert during["accepted"] == before["accepted"] + 3
        assert during["auth"]["logins"] == before["auth"]["logins"] + 1
        assert during["auth"]["failures"] == before["auth"]["failures"] + 1
        assert during["workers"]["maximum"] == 40
        assert during["stopping"] is False
        text = server.site.run("status").stdout
        assert f"pid {server.pid}, serving" in text
        assert "sessions     1" in text
    server.wait_quiet()
    after = server.status()
    assert after["sessions"] == 0
    assert after["login"]["connections"] == 0


@pytest.mark.parametrize("command", ["status", "who", "stop", "reload"])
def test_without_a_server_a_command_says_so(servers: Servers, command: str) -> None:
    site = servers.site()
    done = site.run(command)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"preforkpop: {site.run_dir}/control: no server is running\n"


def test_titles_show_what_each_process_does(server: Server) -> None:
    server.wait_quiet()
    titles = [one.title for one in server.processes()]
    assert titles[0] == "preforkpop: master"
    for role, count in (("listener", 1), ("logger", 1), ("login, parent", 1), ("login", 2)):
        assert titles.count(f"preforkpop: {role}") == count
    assert titles.count("preforkpop: auth") == 2
    assert "preforkpop: worker, idle" in titles
    with server.session("fred"):
        title = server.process_of("fred").title
        assert title.startswith("preforkpop: worker, fred from 127.0.0.1")


def test_config_check_and_show_know_the_configuration(server: Server) -> None:
    done = server.site.run("config", "check")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("can be used")
    shown = server.site.run("config", "show")
    assert shown.returncode == 0
    assert f'"{server.site.mail}/{{user}}"' in shown.stdout
