"""Certificates for tests, made once a test run."""

from __future__ import annotations

import functools
import os
import ssl
import tempfile

import trustme


@functools.cache
def authority() -> trustme.CA:
    """The certificate authority that clients of tests trust."""
    return trustme.CA()


def issue(directory: str, *names: str, rsa: bool = False) -> str:
    """Write a certificate chain with its key into one PEM file of the directory; its path."""
    kind = trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA
    certificate = authority().issue_cert(*names, key_type=kind, common_name=names[0])
    descriptor, path = tempfile.mkstemp(".pem", dir=directory)
    with os.fdopen(descriptor, "wb") as file:
        file.write(certificate.private_key_pem.bytes())
        for part in certificate.cert_chain_pems:
            file.write(part.bytes())
    return path


def client_context() -> ssl.SSLContext:
    """What a client that trusts the authority begins with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context
