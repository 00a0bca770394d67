"""What auth processes read: ways to log in and where users are known. Declarations only; imported
by ``config`` and auth processes."""

from __future__ import annotations

from dataclasses import dataclass

from preforkpop.config.option import Kind, option

MECHANISMS = ("USER", "APOP", "PLAIN")
PLANNED_MECHANISMS = (
    "SCRAM-SHA-256",
    "SCRAM-SHA-256-PLUS",
    "LOGIN",
    "CRAM-MD5",
    "SCRAM-SHA-1",
    "SCRAM-SHA-1-PLUS",
    "EXTERNAL",
    "GSSAPI",
    "OAUTHBEARER",
    "XOAUTH2",
)


@dataclass(frozen=True, slots=True)
class Source:
    """One entry of ``authentication.sources``."""

    type: str = option(
        "pam",
        '"pam": the system\'s users; "passwd-file": a file of users, as Dovecot reads it',
        choices=("pam", "passwd-file"),
        planned=("shadow", "sql", "ldap", "oauth2"),
    )
    service: str = option("pop3", "type pam: the service, a file in /etc/pam.d")
    path: str = option("", "type passwd-file: the file", kind=Kind.PATH)


@dataclass(frozen=True, slots=True)
class Authentication:
    """Section ``authentication``."""

    mechanisms: tuple[str, ...] = option(
        (*MECHANISMS, "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"),
        "ways to log in: USER (with PASS), APOP (where a passwd-file has the secret), PLAIN (AUTH"
        " PLAIN)",
        minimum=1,
        choices=MECHANISMS,
        planned=PLANNED_MECHANISMS,
    )
    clear_text_password: str = option(
        "tls",
        'when a password may be sent as such, in Qpopper\'s words: "never", "tls", "local" (also'
        ' from this machine without TLS), "always", "default" (as always, but not by users who have'
        " a secret for APOP)",
        choices=("never", "tls", "local", "always", "default"),
    )
    processes: int = option(2, "auth processes", minimum=1, maximum=64)
    cache: float = option(
        300.0,
        "how long a verified password is remembered, as a keyed digest only; 0 off",
        unit="seconds",
        minimum=0,
        maximum=86400,
    )
    failure_delay: float = option(
        2.0,
        "how long the answer to a failed login is held back; doubled by each failure from one"
        " network",
        unit="seconds",
        minimum=0,
        maximum=60,
    )
    maximum_delay: float = option(
        15.0, "the longest such delay", unit="seconds", minimum=0, maximum=300
    )
    downcase_user: bool = option(False, "fold user names to lower case")
    trim_domain: bool = option(False, "cut user names at the first @")
    sources: tuple[Source, ...] = option(
        (Source(),), "where users are known: asked in order until one knows the user", minimum=1
    )
