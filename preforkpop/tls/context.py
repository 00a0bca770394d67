"""TLS contexts from certificates and keys (RFC 8314, RFC 9325).

Made once by the parent of the login processes while it can still read the keys, before it forks:
a context made before a fork resumes sessions in every child. TLS 1.2 is the least that is spoken;
no compression, no renegotiation, the server's order of ciphers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from OpenSSL import SSL

MODERN_CIPHERS = (  # TLS 1.2 with forward secrecy and AEAD only
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
TLS13_CIPHERS = (  # all that OpenSSL offers itself, the one whose SHA-256 hastens a handshake first
    b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
)
MAXIMUM_FILE = 2**20  # octets; a chain with its key is a few thousand
VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


class TlsError(Exception):
    """A certificate or key that cannot be used; the text names the file."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A PEM certificate chain and its key, in one file or two; ``name`` for SNI."""

    certificate: str
    private_key: str = ""
    name: str = ""


def make(pairs: Sequence[Pair], minimum_version: str = "1.2", ciphers: str = "") -> SSL.Context:
    """A context that serves the first pair, and the others to clients that ask for their names."""
    default = _context(pairs[0], minimum_version, ciphers)
    others = {_server_name(pair): _context(pair, minimum_version, ciphers) for pair in pairs[1:]}
    if others:

        def choose(connection: SSL.Connection) -> None:
            chosen = others.get((connection.get_servername() or b"").lower())
            if chosen is not None:
                connection.set_context(chosen)

        default.set_tlsext_servername_callback(choose)
    return default


def _server_name(pair: Pair) -> bytes:
    """A name as clients send it (RFC 6066 section 3)."""
    try:
        name = pair.name.lower().encode("idna")
    except UnicodeError:
        name = b""
    if not name:
        raise TlsError(f'tls.names.name: "{pair.name}" is no host name')
    return name


def _context(pair: Pair, minimum_version: str, ciphers: str) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(VERSIONS[minimum_version])
    context.set_options(
        SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # tickets resume sessions in every process; a cache would do it in one, and remember 20,000
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    _load_certificate(context, pair.certificate)
    _load_key(context, pair.private_key or pair.certificate, pair.certificate)
    context.set_tls13_ciphersuites(TLS13_CIPHERS)
    try:
        context.set_cipher_list(ciphers.encode() or MODERN_CIPHERS)
    except SSL.Error as error:
        raise TlsError(f'tls.ciphers: OpenSSL knows none of "{ciphers}"') from error
    return context


def _load_certificate(context: SSL.Context, path: str) -> None:
    if b"-----BEGIN CERTIFICATE-----" not in _read(path):
        raise TlsError(f"{path}: there is no certificate in it, in PEM form")
    try:
        context.use_certificate_chain_file(path)
    except SSL.Error as error:
        raise TlsError(f"{path}: {describe(error)}") from error


def _load_key(context: SSL.Context, path: str, certificate: str) -> None:
    held = _read(path)
    if b"PRIVATE KEY-----" not in held:
        raise TlsError(f"{path}: there is no private key in it, in PEM form")
    if b"ENCRYPTED" in held:  # OpenSSL would ask a terminal for the passphrase, and wait
        raise TlsError(
            f"{path}: the private key has a passphrase, which nobody can give when the server"
            f" starts; take it off with: openssl pkey -in {path} -out NEW"
        )
    try:
        context.use_privatekey_file(path)
    except SSL.Error as error:
        if describe(error) != "key values mismatch":
            raise TlsError(f"{path}: {describe(error)}") from error
        raise TlsError(f"{path}: the key does not belong to {certificate}") from error
    try:
        context.check_privatekey()  # fails when it is of another kind than the certificate's
    except SSL.Error as error:
        raise TlsError(f"{path}: the key does not belong to {certificate}") from error


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAXIMUM_FILE)
    except OSError as error:
        raise TlsError(f"{path}: {error.strerror}") from error


def describe(error: SSL.Error) -> str:
    """OpenSSL's reason in its own words."""
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(reason[-1]) for reason in reasons if reason) or "TLS error"
