"""The log: where it goes, that no line is lost when its file is changed, what may stand in it."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from functools import partial
from pathlib import Path

from tests.support.fixtures import Servers
from tests.support.mailboxes import numbered
from tests.support.server import Server
from tests.support.waiting import wait_until

SESSIONS = 60


def test_no_line_is_lost_when_the_log_is_rotated_under_load(servers: Servers) -> None:
    site = servers.site()
    log = site.log_to_file()
    server = servers.start(site)
    site.put(numbered(1))
    done = threading.Event()

    def poll() -> None:
        for _ in range(SESSIONS):
            with server.session() as client:
                client.quit()
        done.set()

    thread = threading.Thread(target=poll)
    thread.start()
    rotated: list[Path] = []
    while not done.is_set():
        old = log.with_suffix(f".{len(rotated)}")
        log.rename(old)
        rotated.append(old)
        server.send_signal(signal.SIGUSR1)
        wait_until(log.exists, "a new log file")
    thread.join()
    server.stop()
    lines = "".join(file.read_text() for file in [*rotated, log]).splitlines()
    assert len(rotated) > 1
    assert len([line for line in lines if "Stats: fred" in line]) == SESSIONS
    assert log.stat().st_mode & 0o027 == 0


def test_a_log_that_cannot_be_opened_anew_leaves_the_old_one_in_use(servers: Servers) -> None:
    site = servers.site()
    log = site.log_to_file()
    server = servers.start(site)
    old = log.rename(log.with_suffix(".old"))
    log.mkdir()
    server.send_signal(signal.SIGUSR1)
    wait_until(lambda: f"{log}: " in old.read_text(), "a line about it in the old file")
    with server.session() as client:
        client.quit()
    wait_until(lambda: "Stats: fred" in old.read_text(), "further lines in the old file")


def test_a_log_as_json_is_one_object_a_line(servers: Servers) -> None:
    site = servers.site(settings={"logging": {"format": "json"}})
    log = site.log_to_file()
    server = servers.start(site)
    with server.client() as client:
        client.ok('USER "quotes"\\and')
        assert client.says("PASS wrong").startswith(b"-ERR")
    server.stop()
    found = [json.loads(line) for line in log.read_text().splitlines()]
    assert any("Failed attempted login" in json.dumps(one) for one in found)


def test_nothing_that_a_client_sends_becomes_a_line_or_a_secret_in_the_log(
    servers: Servers,
) -> None:
    server = servers.start()
    secret = "hunter2-the-secret"
    with server.client() as client:
        client.send(b"USER fred\x1b[31m\xff\nerror worker[1]: forged\r\n")
        client.send(f"PASS {secret}\r\nUSER fred\r\nPASS {secret} \r\nQUIT\r\n".encode())
        client.rest()
    with server.client() as client:
        client.send(b"\x1b]0;title\x07 %s%n{user}\r\nAPOP fred " + b"0" * 32 + b"\r\nQUIT\r\n")
        client.rest()
    server.stop()
    text = "\n".join(server.log.since())
    assert secret not in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    assert all(re.match(r"\d{4}-\d\d-\d\dT\S+ \w+ \w+\[\d+\]: ", line) for line in text.split("\n"))
    assert not re.search(r"^error worker\[1\]", text, re.MULTILINE)


def test_each_session_leaves_qpoppers_line_of_statistics(servers: Servers) -> None:
    server = servers.start()
    server.site.put(numbered(3))
    with server.session() as client:
        sizes = [int(line.split()[1]) for line in client.listing("LIST")]
        client.ok("DELE 2")
        client.quit()
    left = sizes[0] + sizes[2]
    server.log.wait(rf"Stats: fred 1 {sizes[1]} 2 {left} 127\.0\.0\.1 127\.0\.0\.1$")


def test_failed_logins_are_logged_in_qpoppers_words(servers: Servers) -> None:
    server = servers.start()
    with server.client() as client:
        client.ok("USER fred")
        assert client.says("PASS wrong").startswith(b"-ERR [AUTH]")
    server.log.wait(
        r"\[AUTH\] Failed attempted login to fred from host \(127\.0\.0\.1\) 127\.0\.0\.1$"
    )


def _another_logger(server: Server, old: int) -> bool:
    return [one.pid for one in server.processes("logger")] not in ([], [old])


def test_a_logger_that_is_killed_is_replaced_and_no_line_is_lost(servers: Servers) -> None:
    server = servers.start()
    server.expect(r"logger process \d+ ended by signal SIGKILL")
    for _ in range(10):
        (logger,) = server.processes("logger")
        os.kill(logger.pid, signal.SIGKILL)
        with server.session() as client:
            client.quit()
        wait_until(partial(_another_logger, server, logger.pid), "another logger")
    server.stop()
    assert len(server.log.find("Stats: fred")) == 10
