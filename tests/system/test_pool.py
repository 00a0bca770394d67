"""The pool of workers under a running server: spare ones, limits, recycling, signals."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.fixtures import Servers
from tests.support.mailboxes import numbered
from tests.support.server import Server
from tests.support.site import USUAL, Deployment
from tests.support.waiting import wait_until

MANY = [f"user{number}" for number in range(12)]
AS_ROOT_TOO = [pytest.param(Deployment.SYSTEM, marks=pytest.mark.root), USUAL]


def _workers(server: Server) -> dict[str, int]:
    found: dict[str, int] = server.status()["workers"]
    return found


@pytest.mark.parametrize("deployment", AS_ROOT_TOO, ids=lambda one: one.value)
def test_the_pool_grows_with_demand_and_shrinks_after_it(
    servers: Servers, deployment: Deployment
) -> None:
    server = servers.start(deployment=deployment, users=MANY)
    with contextlib.ExitStack() as stack:
        for name in MANY:
            stack.enter_context(server.session(name))
        found = _workers(server)
        assert found["busy"] + found["waiting"] == len(MANY)
        wait_until(lambda: _workers(server)["idle"] >= 1, "a spare worker beyond the busy ones")
    wait_until(
        lambda: 1 <= _workers(server)["processes"] <= 4,
        "no more workers than maximum_spare",
    )
    server.wait_quiet()


def test_when_all_workers_are_busy_a_client_waits_and_is_served_in_time(servers: Servers) -> None:
    server = servers.start(
        users=MANY,
        settings={"pool": {"start_workers": 2, "maximum_spare": 2, "maximum_workers": 2}},
    )
    with server.session("user0") as first, server.session("user1") as second:
        with server.client() as third:
            third.ok("USER user2")
            third.send(b"PASS secret\r\nSTAT\r\n")
            server.log.wait("all 2 workers are busy.*raise pool.maximum_workers")
            assert len(server.who()) == 2
            first.quit()
            assert third.line().startswith(b"+OK user2")
            assert third.line().startswith(b"+OK 0 0")
            third.quit()
        second.quit()


def test_no_client_is_dropped_by_workers_that_are_replaced(servers: Servers) -> None:
    server = servers.start(
        users=MANY,
        settings={"pool": {"sessions_per_worker": 2, "sessions_jitter": 1, "maximum_spare": 2}},
    )

    def poll(name: str) -> set[int]:
        pids = set()
        for _ in range(10):
            with server.session(name) as client:
                pids.add(server.process_of(name).pid)
                client.quit()
        return pids

    with ThreadPoolExecutor(4) as pool:
        pids = set().union(*pool.map(poll, MANY))
    assert len(pids) >= len(MANY) * 10 / 3
    server.wait_quiet()


@pytest.mark.root  # /proc shows nobody else what the server has open
def test_no_process_gathers_descriptors(servers: Servers) -> None:
    server = servers.start(
        settings={"pool": {"start_workers": 1, "maximum_spare": 1, "maximum_workers": 1}}
    )
    server.site.put(numbered(3))

    def use() -> dict[int, int]:
        """Sessions that end in all ways; how many descriptors each process has then."""
        for _ in range(10):
            for tls in ("off", "stls", "implicit"):
                with server.session(tls=tls) as client:
                    client.retrieve(1)
                    client.quit()
                with server.session(tls=tls) as client:
                    client.send(b"RETR 1\r\n" * 100)
                with server.client(tls=tls) as client:
                    client.ok("USER fred")
                    assert client.says("PASS wrong").startswith(b"-ERR [AUTH]")
                with server.client(tls=tls) as client:
                    client.send(b"\0" * 1000)
        server.wait_quiet()
        return {one.pid: len(one.links()) for one in server.processes()}

    first = use()
    wait_until(lambda: use() == first, "no process has more than after the first round")


@pytest.mark.root
def test_a_worker_of_a_system_user_serves_one_session_only(servers: Servers) -> None:
    server = servers.start(deployment=Deployment.SYSTEM)
    pids = []
    for _ in range(5):
        with server.session() as client:
            pids.append(server.process_of("fred").pid)
            client.quit()
    assert len(set(pids)) == 5


def test_sigttin_and_sigttou_make_it_one_worker_more_or_fewer(servers: Servers) -> None:
    server = servers.start()
    server.send_signal(signal.SIGTTIN)
    wait_until(lambda: _workers(server)["maximum"] == 41, "a higher limit")
    wait_until(lambda: _workers(server)["idle"] >= 2, "one spare worker more")
    for _ in range(2):
        server.send_signal(signal.SIGTTOU)
    wait_until(lambda: _workers(server)["maximum"] in (39, 40), "a lower limit")


def test_a_worker_that_has_grown_leaves_after_its_session(servers: Servers) -> None:
    server = servers.start(settings={"pool": {"maximum_worker_memory": "32MiB"}})
    server.site.put(numbered(200_000, size=1))
    with server.session() as client:
        client.ok("STAT")
        pid = server.process_of("fred").pid
        server.log.wait(rf"worker {pid} has \d+ MiB and leaves after its session")
        client.ok("NOOP")
        client.quit()
    wait_until(lambda: pid not in [one.pid for one in server.processes()], "its end")


def test_a_stuck_worker_shows_its_stack_and_is_ended(servers: Servers) -> None:
    server = servers.start(
        settings={"pool": {"stuck_after": 1}, "maildrop": {"lock_timeout": 600, "locks": ["fcntl"]}}
    )
    site = server.site
    site.put(numbered(1))
    server.expect(r"is stuck in login|ended by signal SIGKILL|died in a session")
    with site.spool().open("r+b") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        with server.client() as client:
            client.ok("USER fred")
            client.send(b"PASS secret\r\n")
            server.log.wait(r"worker \d+ of fred is stuck in .* \(pool.stuck_after\)")
            server.log.wait(r"stack: .*worker/session\.py")
            assert client.closed()
    with server.session() as client:
        assert client.ok("STAT").split()[1] == b"1"
        client.quit()


def test_a_worker_is_ended_between_two_commands_only(servers: Servers) -> None:
    """SIGTERM to a worker by hand: the session ends, nothing is removed, another takes over."""
    server = servers.start()
    server.site.put(numbered(3))
    with server.session() as client:
        client.ok("DELE 1")
        os.kill(server.process_of("fred").pid, signal.SIGTERM)
        assert client.closed()
    with server.session() as client:
        assert client.ok("STAT").split()[1] == b"3"
        client.quit()
