"""One TLS connection without I/O."""

from __future__ import annotations

import itertools
import random
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from preforkpop.tls import context
from preforkpop.tls.stream import RECORD, StreamError, TlsStream
from tests.support import certificates
from tests.unit.tls.talk import MemoryClient, received


@pytest.fixture(scope="session")
def server_context(tmp_path_factory: pytest.TempPathFactory) -> SSL.Context:
    directory: Path = tmp_path_factory.mktemp("tls")
    return context.make([context.Pair(certificates.issue(str(directory), "localhost"))])


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def client(server_context: SSL.Context, request: pytest.FixtureRequest) -> MemoryClient:
    """A client that has shaken hands."""
    wanted = certificates.client_context()
    wanted.minimum_version = wanted.maximum_version = request.param
    talk = MemoryClient(TlsStream(server_context), wanted)
    talk.handshake()
    return talk


class TestHandshake:
    def test_it_wants_more_until_it_is_complete(self, server_context: SSL.Context) -> None:
        server = TlsStream(server_context)
        assert not server.handshake()
        assert not server.established
        assert server.outgoing() == b""

    def test_octets_may_come_one_by_one(self, server_context: SSL.Context) -> None:
        server = TlsStream(server_context)
        talk = MemoryClient(server, certificates.client_context())
        with pytest.raises(ssl.SSLWantReadError):
            talk.tls.do_handshake()
        for octet in talk.outgoing.read():
            server.feed(bytes((octet,)))
            server.handshake()
        talk.to_client()
        talk.handshake()
        assert server.established

    @given(st.binary(min_size=1, max_size=600))
    def test_any_octets_are_wanted_on_or_an_error(
        self, server_context: SSL.Context, octets: bytes
    ) -> None:
        server = TlsStream(server_context)
        server.feed(octets)
        try:
            assert not server.handshake()
        except StreamError as error:
            assert str(error)

    @given(st.data())
    def test_a_damaged_client_hello_too(
        self, server_context: SSL.Context, data: st.DataObject
    ) -> None:
        server = TlsStream(server_context)
        talk = MemoryClient(server, certificates.client_context())
        with pytest.raises(ssl.SSLWantReadError):
            talk.tls.do_handshake()
        hello = bytearray(talk.outgoing.read())
        hello[data.draw(st.integers(0, len(hello) - 1))] ^= data.draw(st.integers(1, 255))
        server.feed(bytes(hello))
        try:
            server.handshake()
        except StreamError as error:
            assert str(error)

    def test_a_failure_leaves_an_alert_to_be_sent(self, server_context: SSL.Context) -> None:
        server = TlsStream(server_context)
        server.feed(b"\x16\x03\x01\x00\x04\x01\x00\x00\x00")
        with pytest.raises(StreamError):
            server.handshake()
        assert server.outgoing()[:1] == b"\x15"


class TestPlaintext:
    @pytest.mark.parametrize("size", [1, RECORD - 1, RECORD, RECORD + 1, 65536, 3_000_000])
    def test_what_is_encrypted_comes_out(self, client: MemoryClient, size: int) -> None:
        octets = random.Random(size).randbytes(size)
        client.to_client(client.server.encrypt(octets))
        assert client.read() == octets

    @pytest.mark.parametrize("size", [1, RECORD - 1, RECORD, RECORD + 1, 1_000_000])
    def test_what_a_client_sends_comes_out(self, client: MemoryClient, size: int) -> None:
        octets = random.Random(size).randbytes(size)
        client.send(octets)
        assert received(client.server) == octets

    @given(cuts=st.lists(st.integers(0, 60_000), max_size=12))
    def test_it_may_come_in_any_pieces(self, server_context: SSL.Context, cuts: list[int]) -> None:
        client = MemoryClient(TlsStream(server_context), certificates.client_context())
        client.handshake()
        octets = random.Random(1).randbytes(50_000)
        for size in (6, 0, RECORD, 30_000):
            client.tls.write(octets[:size])
        sent = client.outgoing.read()
        found = b""
        for start, end in itertools.pairwise([0, *sorted(cuts), len(sent)]):
            client.server.feed(sent[start:end])
            found += received(client.server)
        assert found == octets[:6] + octets[:RECORD] + octets[:30_000]

    def test_a_part_of_a_buffer(self, client: MemoryClient) -> None:
        buffer = bytearray(b"+OK 1234567890\r\n")
        encrypted = client.server.encrypt(memoryview(buffer)[:4])
        buffer[:] = bytes(len(buffer))
        client.to_client(encrypted)
        assert client.read() == b"+OK "

    def test_nothing_yet(self, client: MemoryClient) -> None:
        assert client.server.receive() is None

    def test_nothing_is_left_behind(self, client: MemoryClient) -> None:
        for size in (1, 100, 5000, 100_000, 1_000_000):
            client.server.encrypt(bytes(size))
            assert client.server.outgoing() == b""

    def test_a_damaged_record_is_an_error(self, client: MemoryClient) -> None:
        client.tls.write(b"STAT\r\n")
        record = bytearray(client.outgoing.read())
        record[-1] ^= 1
        client.server.feed(bytes(record))
        with pytest.raises(StreamError):
            client.server.receive()

    def test_octets_before_the_handshake_are_never_plaintext(
        self, server_context: SSL.Context
    ) -> None:
        server = TlsStream(server_context)
        server.feed(b"USER fred\r\nPASS secret\r\n")
        with pytest.raises(StreamError):
            server.receive()


class TestEnd:
    def test_close_notify_is_said(self, client: MemoryClient) -> None:
        client.to_client(client.server.close())
        assert client.read() == b""
        client.tls.unwrap()  # without ours, the client would want to read

    def test_the_last_words_come_before_it(self, client: MemoryClient) -> None:
        client.to_client(client.server.close(b"+OK signing off\r\n"))
        assert client.read() == b"+OK signing off\r\n"
        client.tls.unwrap()

    def test_close_notify_is_heard(self, client: MemoryClient) -> None:
        client.tls.write(b"QUIT\r\n")
        with pytest.raises(ssl.SSLWantReadError):
            client.tls.unwrap()
        client.to_server()
        assert client.server.receive() == b"QUIT\r\n"
        assert client.server.receive() == b""
        assert client.server.receive() == b""

    def test_answers_can_be_sent_to_who_has_said_it(self, client: MemoryClient) -> None:
        with pytest.raises(ssl.SSLWantReadError):
            client.tls.unwrap()
        client.to_server()
        assert client.server.receive() == b""
        assert len(client.server.encrypt(b"+OK\r\n")) > 5

    def test_an_end_before_the_handshake_is_silent(self, server_context: SSL.Context) -> None:
        server = TlsStream(server_context)
        assert server.close() == b""


def test_renegotiation_is_refused(server_context: SSL.Context) -> None:
    server = TlsStream(server_context)
    old = SSL.Context(SSL.TLS_CLIENT_METHOD)
    old.set_max_proto_version(SSL.TLS1_2_VERSION)
    peer = SSL.Connection(old, None)
    peer.set_connect_state()
    complete = False
    while not (complete and server.established):
        try:
            peer.do_handshake()
            complete = True
        except SSL.WantReadError:
            pass
        server.feed(drained(peer))
        if not server.established:
            server.handshake()
        if answer := server.outgoing():
            peer.bio_write(answer)
    assert peer.renegotiate()
    with pytest.raises(SSL.WantReadError):
        peer.do_handshake()
    server.feed(drained(peer))
    assert server.receive() is None
    answer = server.outgoing()
    assert answer[:1] == b"\x15"  # an alert: no_renegotiation
    peer.bio_write(answer)
    with pytest.raises(SSL.Error):
        peer.do_handshake()
    peer_after = server.encrypt(b"+OK\r\n")
    assert peer_after[:1] == b"\x17"  # the session itself goes on


def drained(peer: SSL.Connection) -> bytes:
    """What a client has to send."""
    try:
        return peer.bio_read(65536)
    except SSL.WantReadError:
        return b""
