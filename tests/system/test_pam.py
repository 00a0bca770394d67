"""System users through PAM, with their mail where Debian has it."""

from __future__ import annotations

import base64
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import accounts, mailboxes
from tests.support.client import Client
from tests.support.environment import ROOT
from tests.support.fixtures import Servers
from tests.support.mailboxes import message, transmitted, varied
from tests.support.server import Server
from tests.support.site import Deployment

pytestmark = [pytest.mark.root, pytest.mark.peer("procmail")]

PASSWORD = "correct horse: battery"
NAMES = ("ppt-fred", "ppt-expired", "ppt-stale", "ppt-locked", "ppt-two")
SPOOLS = Path("/var/mail")


@pytest.fixture(scope="module")
def users() -> Iterator[None]:
    """Accounts; nothing of them is left in the end."""
    with accounts.accounts(NAMES, PASSWORD):
        accounts.expire("ppt-expired")
        accounts.demand_new_password("ppt-stale")
        accounts.lock("ppt-locked")
        yield
        for name in NAMES:
            (SPOOLS / name).unlink(missing_ok=True)


@contextlib.contextmanager
def _pop3_service() -> Iterator[None]:
    """The service that is the default, unless the machine has one."""
    if (accounts.PAM / "pop3").exists():
        yield
        return
    lines = (ROOT / "init" / "pop3.pam").read_text().splitlines()
    with accounts.service("pop3", *lines):
        yield


def _start(servers: Servers, service: str) -> Server:
    return servers.start(
        deployment=Deployment.SYSTEM,
        users=[],
        settings={
            "authentication": {
                "sources": [{"type": "pam", "service": service}],
                "failure_delay": 0,
                "clear_text_password": "tls",
            },
            "maildrop": {"path": str(SPOOLS / "{user}")},
        },
    )


@pytest.fixture(scope="module")
def server(users: None, module_servers: Servers) -> Iterator[Server]:
    """A server as Debian's administrator would have it, but for its ports."""
    with _pop3_service():
        yield _start(module_servers, "pop3")


def _answer(server: Server, user: str, password: str) -> bytes:
    with server.client(tls="implicit") as client:
        client.ok(f"USER {user}")
        return client.says(f"PASS {password}")


def test_a_system_user_fetches_what_procmail_delivered(server: Server) -> None:
    for octets in varied():
        complete = octets if octets.endswith(b"\n") else octets + b"\n"
        subprocess.run(["procmail", "-d", "ppt-fred"], input=complete, check=True)
    stored = mailboxes.read_mbox(SPOOLS / "ppt-fred")
    assert len(stored) == len(varied())
    with server.client(tls="stls") as client:
        client.log_in("ppt-fred", PASSWORD)
        for number, octets in enumerate(stored, 1):
            assert client.retrieve(number) == transmitted(octets)
        client.ok("DELE 1")
        client.quit()
    assert mailboxes.read_mbox(SPOOLS / "ppt-fred") == stored[1:]
    subprocess.run(["procmail", "-d", "ppt-fred"], input=message("after"), check=True)
    assert len(mailboxes.read_mbox(SPOOLS / "ppt-fred")) == len(stored)


def test_auth_plain_works_as_well(server: Server) -> None:
    initial = base64.b64encode(f"\0ppt-two\0{PASSWORD}".encode()).decode()
    with server.client(tls="implicit") as client:
        client.ok(f"AUTH PLAIN {initial}")
        client.quit()


@pytest.mark.parametrize("user", ["ppt-two", "ppt-unknown", "ppt-locked"])
def test_a_wrong_password_an_unknown_and_a_locked_user_get_the_same_answer(
    server: Server, user: str
) -> None:
    wrong = _answer(server, "ppt-fred", "wrong")
    assert wrong.startswith(b"-ERR [AUTH] ")
    assert _answer(server, user, "wrong") == wrong


@pytest.mark.parametrize("user", ["ppt-expired", "ppt-stale"])
def test_an_account_that_may_not_log_in_is_told_so_and_only_with_the_right_password(
    server: Server, user: str
) -> None:
    mark = len(server.log)
    answer = _answer(server, user, PASSWORD)
    assert answer.startswith(b"-ERR [AUTH] ")
    assert b"has expired" in answer or b"may not be used" in answer  # as the service tells
    assert _answer(server, user, "wrong") == _answer(server, "ppt-fred", "wrong")
    server.log.wait(rf"\[AUTH\] Failed attempted login to {user}", mark)


def test_no_password_is_taken_without_tls(server: Server) -> None:
    with server.client() as client:
        assert client.says("USER ppt-fred").startswith(b"-ERR")


def test_pam_is_told_where_the_client_is_and_decides_by_it(users: None, servers: Servers) -> None:
    server_directory = servers.site().directory
    seen = server_directory / "seen"
    script = server_directory / "script"
    script.write_text(
        f'#!/bin/sh\necho "$PAM_SERVICE $PAM_USER $PAM_RHOST $PAM_TYPE" >>{seen}\n'
        '[ "$PAM_RHOST" != 127.0.0.2 ]\n'
    )
    script.chmod(0o700)
    lines = ("auth required pam_unix.so", f"account required pam_exec.so quiet {script}")
    with accounts.service("preforkpop-test", *lines):
        server = _start(servers, "preforkpop-test")
        for source, good in (("127.0.0.1", True), ("127.0.0.2", False), ("127.0.0.1", True)):
            with Client(server.site.tls_port, tls="implicit", source=source).greet() as client:
                client.ok("USER ppt-fred")
                assert client.says(f"PASS {PASSWORD}").startswith(b"+OK") is good
        told = seen.read_text().splitlines()
    assert "preforkpop-test ppt-fred 127.0.0.1 account" in told
    assert "preforkpop-test ppt-fred 127.0.0.2 account" in told


@pytest.mark.parametrize(
    "lines",
    [
        ("auth required pam_nonexistent.so", "account required pam_permit.so"),
        ("auth requisite pam_unix.so", "account required pam_nonexistent.so"),
    ],
    ids=["authenticate", "account"],
)
def test_a_broken_service_is_no_wrong_password(
    users: None, servers: Servers, lines: tuple[str, ...]
) -> None:
    with accounts.service("preforkpop-test", *lines):
        server = _start(servers, "preforkpop-test")
        assert _answer(server, "ppt-fred", PASSWORD).startswith(b"-ERR [SYS/")
        server.log.wait(r"error auth.*PAM service preforkpop-test")
