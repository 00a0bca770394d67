"""What login processes read: limits before login, TLS, names. Declarations only; imported by
``config`` and login processes."""

from __future__ import annotations

from dataclasses import dataclass

from preforkpop.config.option import Kind, option


@dataclass(frozen=True, slots=True)
class Login:
    """Section ``login``."""

    processes: int = option(0, "login processes; 0: one a core", minimum=0, maximum=256)
    timeout: float = option(
        60.0,
        "a client that has not logged in by then is dropped (RFC 1939's ten minutes hold after"
        " login)",
        unit="seconds",
        minimum=1,
        maximum=3600,
    )
    maximum_connections: int = option(
        4096,
        "connections before login, over all processes; when full the oldest of the address that"
        " holds most goes first",
        minimum=1,
    )
    maximum_failures: int = option(3, "failed logins that end a connection", minimum=1, maximum=100)
    greeting: str = option(
        "",
        'text of the greeting; empty: "POP3 server ready", with the APOP stamp when APOP is on',
    )


@dataclass(frozen=True, slots=True)
class TlsName:
    """One entry of ``tls.names``."""

    name: str = option(
        "", "the name that a client asks for (SNI)", required=True, example="pop.example.org"
    )
    certificate: str = option(
        "", "PEM chain", kind=Kind.PATH, required=True, example="/etc/ssl/pop.example.org.pem"
    )
    private_key: str = option("", "PEM; empty: in the certificate file", kind=Kind.PATH)


@dataclass(frozen=True, slots=True)
class Tls:
    """Section ``tls``."""

    certificate: str = option("", "PEM chain; empty: no TLS", kind=Kind.PATH)
    private_key: str = option("", "PEM; empty: in the certificate file", kind=Kind.PATH)
    minimum_version: str = option("1.2", "the oldest TLS that is spoken", choices=("1.2", "1.3"))
    ciphers: str = option("", "TLS 1.2 ciphers in OpenSSL's syntax; empty: a modern list")
    names: tuple[TlsName, ...] = option(
        (), "other certificates, for clients that ask for their names"
    )


@dataclass(frozen=True, slots=True)
class Dns:
    """Section ``dns``."""

    reverse_lookup: bool = option(
        True, "look up the names of clients for the log (this version never does)"
    )
    timeout: float = option(
        2.0,
        "bound on one look-up (this version makes none)",
        unit="seconds",
        minimum=0.1,
        maximum=60,
    )
