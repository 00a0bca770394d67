"""Contexts from certificates and keys."""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path

import pytest
from OpenSSL import SSL

from preforkpop.tls import context
from preforkpop.tls.context import Pair, TlsError
from preforkpop.tls.stream import StreamError, TlsStream
from tests.support import certificates
from tests.unit.tls.talk import MemoryClient

Version = ssl.TLSVersion


def connected(
    made: SSL.Context, client: ssl.SSLContext | None = None, **options: object
) -> MemoryClient:
    """A client that has shaken hands."""
    talk = MemoryClient(TlsStream(made), client or certificates.client_context(), **options)  # type: ignore[arg-type]
    talk.handshake()
    return talk


def client_of(version: ssl.TLSVersion) -> ssl.SSLContext:
    made = certificates.client_context()
    made.minimum_version = made.maximum_version = version
    return made


def names(talk: MemoryClient) -> list[str]:
    """Whom the certificate is for."""
    shown = talk.tls.getpeercert()
    assert shown
    return [str(name) for _kind, name in shown["subjectAltName"]]  # type: ignore[misc]


@pytest.fixture
def chain(tmp_path: Path) -> str:
    return certificates.issue(str(tmp_path), "localhost")


@pytest.fixture
def made(chain: str) -> SSL.Context:
    return context.make([Pair(chain)])


class TestVersions:
    @pytest.mark.parametrize("version", [Version.TLSv1_2, Version.TLSv1_3])
    def test_spoken(self, made: SSL.Context, version: ssl.TLSVersion) -> None:
        talk = connected(made, client_of(version))
        shown = {Version.TLSv1_2: "TLSv1.2", Version.TLSv1_3: "TLSv1.3"}[version]
        assert talk.tls.version() == shown
        assert talk.server.description().startswith(shown + " ")

    def test_1_1_is_refused(self, made: SSL.Context) -> None:
        client = certificates.client_context()
        client.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            client.minimum_version = client.maximum_version = Version.TLSv1_1
        with pytest.raises((StreamError, ssl.SSLError)):
            connected(made, client)

    def test_1_2_is_refused_where_1_3_is_the_least(self, chain: str) -> None:
        made = context.make([Pair(chain)], "1.3")
        with pytest.raises((StreamError, ssl.SSLError)):
            connected(made, client_of(Version.TLSv1_2))
        assert connected(made).tls.version() == "TLSv1.3"


class TestCiphers:
    def test_forward_secrecy_always(self, made: SSL.Context) -> None:
        client = client_of(Version.TLSv1_2)
        client.set_ciphers("AES128-GCM-SHA256:AES256-SHA:DES-CBC3-SHA:@SECLEVEL=0")
        with pytest.raises((StreamError, ssl.SSLError)):
            connected(made, client)

    def test_the_servers_order_decides(self, made: SSL.Context) -> None:
        client = client_of(Version.TLSv1_2)
        client.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256")
        assert connected(made, client).tls.cipher()[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"  # type: ignore[index]

    def test_in_1_3_the_one_with_the_quickest_handshake_comes_first(
        self, made: SSL.Context
    ) -> None:
        talk = connected(made, client_of(Version.TLSv1_3))
        assert talk.tls.cipher()[0] == "TLS_AES_128_GCM_SHA256"  # type: ignore[index]

    @pytest.mark.parametrize("wanted", ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
    def test_in_1_3_who_wants_another_gets_it(self, made: SSL.Context, wanted: str) -> None:
        client = SSL.Context(SSL.TLS_CLIENT_METHOD)
        client.set_tls13_ciphersuites(wanted.encode())
        peer, server = SSL.Connection(client, None), TlsStream(made)
        peer.set_connect_state()
        with pytest.raises(SSL.WantReadError):
            peer.do_handshake()
        server.feed(peer.bio_read(65536))
        server.handshake()
        peer.bio_write(server.outgoing())
        peer.do_handshake()
        assert peer.get_cipher_name() == wanted

    def test_a_site_may_choose(self, chain: str) -> None:
        made = context.make([Pair(chain)], ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
        talk = connected(made, client_of(Version.TLSv1_2))
        assert talk.tls.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"  # type: ignore[index]

    @pytest.mark.parametrize("ciphers", ["NONSENSE", "größer", "\0"])
    def test_a_choice_of_none_is_an_error(self, chain: str, ciphers: str) -> None:
        with pytest.raises(TlsError, match=r"tls\.ciphers"):
            context.make([Pair(chain)], ciphers=ciphers)

    def test_no_compression(self, made: SSL.Context) -> None:
        assert connected(made).tls.compression() is None


class TestResumption:
    def test_a_ticket_resumes_tls_1_2(self, made: SSL.Context) -> None:
        client = client_of(Version.TLSv1_2)
        first = connected(made, client)
        assert connected(made, client, session=first.tls.session).tls.session_reused

    def test_a_ticket_resumes_tls_1_3(self, made: SSL.Context) -> None:
        client = client_of(Version.TLSv1_3)
        first = connected(made, client)
        first.read()  # the tickets come after the handshake
        assert connected(made, client, session=first.tls.session).tls.session_reused

    @pytest.mark.parametrize("version", [Version.TLSv1_2, Version.TLSv1_3])
    def test_in_another_process(self, made: SSL.Context, version: ssl.TLSVersion) -> None:
        """The ticket's key was made before the fork."""
        client = client_of(version)
        first = connected(made, client)
        first.read()
        pid = os.fork()
        if pid == 0:
            try:
                again = connected(made, client, session=first.tls.session)
                os._exit(0 if again.tls.session_reused else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    def test_nothing_is_remembered_of_clients_without_tickets(self, made: SSL.Context) -> None:
        client = client_of(Version.TLSv1_2)
        client.options |= ssl.OP_NO_TICKET
        first = connected(made, client)
        assert not connected(made, client, session=first.tls.session).tls.session_reused


class TestNames:
    @pytest.fixture
    def several(self, tmp_path: Path) -> SSL.Context:
        pairs = [
            Pair(certificates.issue(str(tmp_path), "localhost")),
            Pair(certificates.issue(str(tmp_path), "Pop.Example.org"), name="Pop.Example.org"),
            Pair(certificates.issue(str(tmp_path), "bücher.example"), name="Bücher.example"),
        ]
        return context.make(pairs)

    @pytest.mark.parametrize("asked", ["pop.example.org", "POP.EXAMPLE.ORG"])
    def test_the_certificate_for_the_name_that_is_asked_for(
        self, several: SSL.Context, asked: str
    ) -> None:
        client = certificates.client_context()
        client.check_hostname = False
        assert names(connected(several, client, name=asked)) == ["pop.example.org"]

    def test_a_name_of_another_script(self, several: SSL.Context) -> None:
        talk = connected(several, name="bücher.example")
        assert names(talk) == ["xn--bcher-kva.example"]

    @pytest.mark.parametrize("asked", [None, "other.example.org"])
    def test_the_first_for_any_other(self, several: SSL.Context, asked: str | None) -> None:
        client = certificates.client_context()
        client.check_hostname = False
        assert names(connected(several, client, name=asked)) == ["localhost"]

    def test_sessions_of_a_name_are_resumed(self, several: SSL.Context) -> None:
        client = client_of(Version.TLSv1_2)
        first = connected(several, client, name="pop.example.org")
        again = connected(several, client, name="pop.example.org", session=first.tls.session)
        assert again.tls.session_reused

    def test_the_least_version_holds_for_names_too(self, tmp_path: Path) -> None:
        pairs = [
            Pair(certificates.issue(str(tmp_path), one), name=one)
            for one in ("localhost", "pop.example.org")
        ]
        made = context.make(pairs, "1.3")
        with pytest.raises((StreamError, ssl.SSLError)):
            connected(made, client_of(Version.TLSv1_2), name="pop.example.org")

    @pytest.mark.parametrize("name", ["", "a..b", "x" * 64 + ".org"])
    def test_what_is_no_name_is_an_error(self, chain: str, name: str) -> None:
        with pytest.raises(TlsError, match=r"tls\.names\.name"):
            context.make([Pair(chain), Pair(chain, name=name)])


class TestFiles:
    def test_rsa(self, tmp_path: Path) -> None:
        made = context.make([Pair(certificates.issue(str(tmp_path), "localhost", rsa=True))])
        assert names(connected(made)) == ["localhost"]

    def test_a_key_in_a_file_of_its_own(self, tmp_path: Path, chain: str) -> None:
        text = Path(chain).read_text()
        end = text.index("-----BEGIN CERTIFICATE")
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        key.write_text(text[:end])
        certificate.write_text(text[end:])
        assert names(connected(context.make([Pair(str(certificate), str(key))]))) == ["localhost"]

    @pytest.mark.parametrize("rsa", [False, True])
    def test_a_key_of_another_certificate(self, tmp_path: Path, chain: str, rsa: bool) -> None:
        other = certificates.issue(str(tmp_path), "localhost", rsa=rsa)
        with pytest.raises(TlsError, match="does not belong to") as caught:
            context.make([Pair(chain, other)])
        assert str(caught.value) == f"{other}: the key does not belong to {chain}"

    def test_a_key_with_a_passphrase_is_not_asked_for_it(self, tmp_path: Path, chain: str) -> None:
        locked = tmp_path / "locked.pem"
        subprocess.run(
            ["openssl", "pkey", "-in", chain, "-aes128", "-passout", "pass:x", "-out", str(locked)],
            check=True,
        )
        with pytest.raises(TlsError, match="passphrase"):
            context.make([Pair(chain, str(locked))])

    @pytest.mark.parametrize("holds", ["", "hello\n", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
    def test_a_file_that_holds_no_certificate(self, tmp_path: Path, holds: str) -> None:
        path = tmp_path / "file.pem"
        path.write_text(holds)
        with pytest.raises(TlsError, match=f"^{path}: "):
            context.make([Pair(str(path))])

    @pytest.mark.parametrize("holds", ["", "hello\n", "-----BEGIN PRIVATE KEY-----\nAAAA\n"])
    def test_a_file_that_holds_no_key(self, tmp_path: Path, chain: str, holds: str) -> None:
        path = tmp_path / "file.pem"
        path.write_text(holds)
        with pytest.raises(TlsError, match=f"^{path}: "):
            context.make([Pair(chain, str(path))])

    def test_a_file_that_is_not_there(self, tmp_path: Path, chain: str) -> None:
        path = tmp_path / "missing.pem"
        for pair in (Pair(str(path)), Pair(chain, str(path))):
            with pytest.raises(TlsError, match=f"^{path}: No such file or directory$"):
                context.make([pair])

    def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(TlsError, match="Is a directory"):
            context.make([Pair(str(tmp_path))])
