"""One session for each maildrop, and no delivery that has to wait for it."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import pytest

from tests.support import delivery
from tests.support.fixtures import Servers
from tests.support.mailboxes import message, numbered, token
from tests.support.server import Server
from tests.support.waiting import wait_until

USERS = ("other", "since", "killed", "gone", "waiting", "procmail")


@pytest.fixture(scope="module", params=["mbox", "maildir"])
def server(request: pytest.FixtureRequest, module_servers: Servers) -> Server:
    """A server whose users have three messages each."""
    server = module_servers.start(users=USERS, mail_format=request.param)
    for name in USERS:
        server.site.put(numbered(3), name)
    return server


def test_a_second_session_is_told_since_when_and_from_where(server: Server) -> None:
    with server.session("since") as first, server.client(source="127.0.0.2") as second:
        second.ok("USER since")
        answer = second.says("PASS secret").decode()
        assert re.fullmatch(
            r"-ERR \[IN-USE\] .* since \d\d:\d\d:\d\d from 127\.0\.0\.1\.?", answer
        ), answer
        assert second.closed()
        first.ok("STAT")
        first.quit()
    with server.session("since") as third:
        third.quit()


@pytest.mark.parametrize("tls", ["off", "stls", "implicit"])
def test_other_maildrops_can_be_used_meanwhile(server: Server, tls: str) -> None:
    with server.session("other", tls=tls) as one, server.session("waiting", tls=tls) as another:
        assert one.ok("STAT").split()[1] == b"3"
        assert another.ok("STAT").split()[1] == b"3"


def test_the_lock_goes_with_a_worker_that_is_killed(server: Server) -> None:
    server.expect(r"worker process \d+ ended by signal SIGKILL|died in a session of killed")
    with server.session("killed") as client:
        client.ok("DELE 1")
        os.kill(server.process_of("killed").pid, signal.SIGKILL)
        assert client.closed()
    with server.session("killed") as client:
        assert client.ok("STAT").split()[1] == b"3", "a deletion took effect without QUIT"
        client.quit()


def test_the_lock_goes_with_a_client_that_leaves_without_a_word(server: Server) -> None:
    with server.session("gone") as client:
        client.ok("DELE 1")
    wait_until(lambda: not server.who(), "the end of the session")
    with server.session("gone") as client:
        assert client.ok("STAT").split()[1] == b"3", "a deletion took effect without QUIT"
        client.quit()


@pytest.mark.peer("procmail")
def test_a_delivery_does_not_wait_for_an_idle_client(server: Server) -> None:
    site = server.site
    with server.session("procmail") as client:
        client.retrieve(1)
        client.ok("DELE 1")
        delivery.procmail(site, message("token=delivered"), "procmail")
        assert [token(one) for one in site.stored("procmail")][-1] == "delivered"
        assert client.ok("STAT").split()[1] == b"2", "the listing changed within a session"
        client.quit()
    assert [token(one) for one in site.stored("procmail")] == [
        "message-1",
        "message-2",
        "delivered",
    ]


@pytest.mark.peer("dotlockfile")
def test_the_dot_lock_is_free_while_a_client_is_idle(servers: Servers) -> None:
    server = servers.start()
    server.site.put(numbered(3))
    with server.session() as client:
        client.retrieve(2)
        lock = f"{server.site.spool()}.lock"
        subprocess.run(["dotlockfile", "-r", "0", lock], check=True)
        subprocess.run(["dotlockfile", "-u", lock], check=True)
        client.quit()
