"""Settings, credentials and a clock for the tests of auth."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from preforkpop.auth.verify import Credentials, Verifier

KEY = b"0123456789abcdef0123456789abcdef"
STAMP = b"<1896.697170952@dbc.mtview.ca.us>"

# openssl passwd -6 -salt 'rounds=1000$abcdefgh' x
QUICK_CRYPT = (
    "$6$rounds=1000$abcdefgh$"
    "4TrI6cXa4n9N0SC1fS0MHCSOjLGo8LvKKddTcWCgNfCi7WcWMCAoAaYAPNlItHgu68UaJgvsZH7rlRtu1l5rW/"
)


class Clock:
    """Monotonic seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def credentials(user: bytes = b"fred", secret: bytes = b"x", **changes: Any) -> Credentials:
    """Credentials as login hands them on, over TLS unless told otherwise."""
    values: dict[str, Any] = {
        "mechanism": "USER",
        "user": user,
        "authzid": b"",
        "secret": secret,
        "stamp": STAMP,
        "client": "192.0.2.7",
        "tls": True,
    }
    return Credentials(**(values | changes))


def passwd_file(path: str) -> SimpleNamespace:
    """A source of type passwd-file."""
    return SimpleNamespace(type="passwd-file", service="pop3", path=path)


def pam(service: str = "pop3") -> SimpleNamespace:
    """A source of type pam."""
    return SimpleNamespace(type="pam", service=service, path="")


def settings(*sources: SimpleNamespace, **changes: Any) -> Any:
    """What the verifier reads of the settings; ``changes`` by the name of the key."""
    service = {"users": "virtual", "mail_user": "mail", "mail_group": ""}
    maildrop = {"path": "/mail/{user}"}
    authentication = {
        "mechanisms": ("USER", "APOP", "PLAIN"),
        "clear_text_password": "tls",
        "cache": 300.0,
        "downcase_user": False,
        "trim_domain": False,
        "sources": sources,
    }
    for key, value in changes.items():
        section = next(one for one in (service, maildrop, authentication) if key in one)
        section[key] = value
    return SimpleNamespace(
        service=SimpleNamespace(**service),
        maildrop=SimpleNamespace(**maildrop),
        authentication=SimpleNamespace(**authentication),
    )


def verifier(
    configuration: Any, reports: list[str] | None = None, clock: Clock | None = None
) -> Verifier:
    """A verifier whose reports go into a list."""
    told = [] if reports is None else reports
    return Verifier(configuration, key=KEY, report=told.append, clock=clock or Clock())
