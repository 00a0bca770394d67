"""TLS contexts from certificates and keys (RFC 8314, RFC 9325).

Made once by the parent of the login processes while it can still read the keys, before it forks:
a context made before a fork resumes sessions in every child. TLS 1.2 is the least that is spoken;
no compression, no renegotiation, the server's order of ciphers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from OpenSSL import SSL

MODERN_CIPHERS = (  # TLS 1.2 with forward secrecy and AEAD only; TLS 1.3 has its own list
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
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
    others = {
        pair.name.lower().encode("idna"): _context(pair, minimum_version, ciphers)
        for pair in pairs[1:]
    }
    if others:

        def choose(connection: SSL.Connection) -> None:
            chosen = others.get((connection.get_servername() or b"").lower())
            if chosen is not None:
                connection.set_context(chosen)

        default.set_tlsext_servername_callback(choose)
    return default


def _context(pair: Pair, minimum_version: str, ciphers: str) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(VERSIONS[minimum_version])
    context.set_options(
        SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_session_id(b"preforkpop")
    _load(context, pair)
    try:
        context.set_cipher_list(ciphers.encode() or MODERN_CIPHERS)
    except SSL.Error as error:
        raise TlsError(f'tls.ciphers: OpenSSL knows none of "{ciphers}"') from error
    return context


def _load(context: SSL.Context, pair: Pair) -> None:
    key = pair.private_key or pair.certificate
    for path, load in (
        (pair.certificate, context.use_certificate_chain_file),
        (key, context.use_privatekey_file),
    ):
        try:
            with open(path, "rb"):
                pass
            load(path)
        except OSError as error:
            raise TlsError(f"{path}: {error.strerror}") from error
        except SSL.Error as error:
            raise TlsError(f"{path}: {describe(error)}") from error
    try:
        context.check_privatekey()
    except SSL.Error as error:
        raise TlsError(f"{key}: the key does not belong to {pair.certificate}") from error


def describe(error: SSL.Error) -> str:
    """OpenSSL's reason in its own words."""
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(reason[-1]) for reason in reasons if reason) or "TLS error"
