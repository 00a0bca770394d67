"""Capability lists."""

from __future__ import annotations

from preforkpop.pop3 import capability


def listed(answer: bytes) -> list[str]:
    status, *lines = answer.decode().split("\r\n")
    assert status.startswith("+OK")
    assert lines[-2:] == [".", ""]
    return lines[:-2]


ALWAYS = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"]


def test_what_would_be_refused_is_not_listed() -> None:
    assert listed(capability.before_login((), stls=True)) == ["STLS", *ALWAYS]


def test_what_is_accepted_is_listed() -> None:
    lines = listed(capability.before_login(("USER", "PLAIN"), stls=False))
    assert lines == ["USER", "SASL PLAIN", *ALWAYS]


def test_sasl_lists_only_mechanisms_that_auth_speaks() -> None:
    assert listed(capability.before_login(("APOP", "GSSAPI"), stls=False)) == ALWAYS


def test_after_login_the_same_stays_listed_and_the_implementation_comes() -> None:
    lines = listed(capability.after_login(("USER", "PLAIN"), "preforkpop-1.0"))
    assert lines == ["USER", "SASL PLAIN", *ALWAYS, "IMPLEMENTATION preforkpop-1.0"]


def test_no_policy_is_announced_that_the_server_does_not_have() -> None:
    lines = listed(capability.after_login(("USER", "PLAIN"), "x"))
    assert not [line for line in lines if line.startswith(("EXPIRE", "LOGIN-DELAY", "STLS"))]
