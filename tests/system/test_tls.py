"""TLS as clients see it: versions, names, resumption over all login processes."""

from __future__ import annotations

import ssl
import warnings
from typing import Any

import pytest

from tests.support.certificates import client_context, issue
from tests.support.client import Client
from tests.support.fixtures import Servers
from tests.support.server import Server

LOGIN_PROCESSES = 3


@pytest.fixture(scope="module")
def server(module_servers: Servers) -> Server:
    """A server with a second name and more login processes than one."""
    site = module_servers.site(settings={"login": {"processes": LOGIN_PROCESSES}})
    other = issue(str(site.directory), "pop.example.org")
    site.configure(
        {
            "tls": {
                "certificate": site.certificate,
                "names": [{"name": "pop.example.org", "certificate": other}],
            }
        }
    )
    site.give_away(other)
    return module_servers.start(site)


def _names(client: Client) -> list[str]:
    assert isinstance(client.sock, ssl.SSLSocket)
    found: Any = client.sock.getpeercert()
    return [name for _kind, name in found["subjectAltName"]]


def _connect(server: Server, context: ssl.SSLContext, **options: Any) -> Client:
    client = Client(server.site.tls_port)
    client.start_tls(context, **options)
    return client


@pytest.mark.parametrize("start", ["implicit", "stls"])
def test_the_certificate_is_that_of_the_name_that_is_asked_for(server: Server, start: str) -> None:
    for name, expected in (("localhost", "localhost"), ("pop.example.org", "pop.example.org")):
        implicit = start == "implicit"
        with Client(server.site.tls_port if implicit else server.site.port) as client:
            if not implicit:
                client.greet().ok("STLS")
            client.start_tls(name=name)
            if implicit:
                client.greet()
            assert expected in _names(client)
            client.log_in("fred")
            client.quit()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_whichever_process_is_met(
    server: Server, version: ssl.TLSVersion
) -> None:
    context = client_context()
    context.minimum_version = context.maximum_version = version
    session = None
    reused = []
    for _ in range(4 * LOGIN_PROCESSES):
        with _connect(server, context, session=session) as client:
            client.greet().ok("CAPA")
            assert isinstance(client.sock, ssl.SSLSocket)
            reused.append(client.sock.session_reused)
            session = client.sock.session
    assert reused == [False] + [True] * (len(reused) - 1)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(server: Server, version: ssl.TLSVersion) -> None:
    context = client_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    with Client(server.site.tls_port) as client, pytest.raises(ssl.SSLError):
        client.start_tls(context)


def test_nothing_is_compressed(server: Server) -> None:
    with server.client(tls="implicit") as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.compression() is None


def test_a_mailbox_comes_whole_in_records_of_any_size(server: Server) -> None:
    """A client that reads little at a time gets every octet."""
    body = b"".join(b"%06d %s\n" % (number, b"x" * (number % 90)) for number in range(30_000))
    server.site.put([b"Subject: many lines\n\n" + body])
    with server.session(tls="implicit") as client:
        client.send(b"RETR 1\r\nQUIT\r\n")
        received = b""
        while more := client.sock.recv(997):
            received += more
    sent = received.partition(b"\r\n\r\n")[2].partition(b"\r\n.\r\n")[0]
    assert sent + b"\r\n" == body.replace(b"\n", b"\r\n")
