"""Every dialogue of tests/transcripts, played against the running server."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support import transcript
from tests.support.client import Client
from tests.support.fixtures import Servers
from tests.support.server import Server
from tests.support.site import free_ports
from tests.support.transcript import Transcript

FOLDER = Path(__file__).parents[1] / "transcripts"
FILES = sorted(FOLDER.glob("*.pop3"))

Needs: TypeAlias = tuple[str, tuple[str, ...], bool, str, str]


class Pool:
    """A server for each set of needs, with a listener for each way TLS begins."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._running: dict[Needs, Server] = {}
        self._ports: dict[Needs, dict[str, int]] = {}

    def server(self, script: Transcript, mail_format: str) -> tuple[Server, int]:
        """The server that fits, and its port for this dialogue."""
        needs = (
            mail_format,
            script.mechanisms,
            script.clear_text,
            script.user,
            script.password,
        )
        if needs not in self._running:
            self._start(needs)
        return self._running[needs], self._ports[needs][script.tls]

    def _start(self, needs: Needs) -> None:
        mail_format, mechanisms, clear_text, user, password = needs
        site = self._servers.site(users=[user], mail_format=mail_format, password=password)
        (off,) = free_ports(1)
        site.configure(
            {
                "listeners": [*site.listeners(), {"address": f"127.0.0.1:{off}", "tls": "off"}],
                "authentication": {
                    "mechanisms": list(mechanisms),
                    "clear_text_password": "always" if clear_text else "tls",
                },
            }
        )
        self._running[needs] = self._servers.start(site)
        self._ports[needs] = {"off": off, "stls": site.port, "implicit": site.tls_port}


@pytest.fixture(scope="module")
def pool(module_servers: Servers) -> Pool:
    """The servers, each started when it is needed first."""
    return Pool(module_servers)


@pytest.mark.parametrize("mail_format", ["mbox", "maildir"])
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_the_server_keeps_to_the_transcript(pool: Pool, path: Path, mail_format: str) -> None:
    script = transcript.parse(path.name, path.read_text(encoding="ascii"))
    server, port = pool.server(script, mail_format)
    server.wait_quiet()
    site = server.site
    site.clear(script.user)
    site.put(script.messages, script.user)
    with Client(port, tls=script.tls) as client:
        transcript.play(script, client)
    server.wait_quiet()
    left = [script.messages[number - 1] for number in script.expected_left()]
    assert [one.rstrip(b"\n") for one in site.stored(script.user)] == [
        one.rstrip(b"\n") for one in left
    ]
