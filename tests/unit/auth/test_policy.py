"""When passwords may come in the clear."""

from __future__ import annotations

import pytest

from preforkpop.auth.policy import clear_text_allowed, is_local, stronger_required

LOCAL = ("127.0.0.1", "127.255.1.9", "::1", "::ffff:127.0.0.1", "::FFFF:127.0.0.1")
ELSEWHERE = (
    "192.0.2.7",
    "2001:db8::1",
    "::ffff:192.0.2.7",
    "::",
    "",
    "127.example.org",
    "::11",
    "1270.0.0.1",
    "127.0.0.1.example.org",
)


@pytest.mark.parametrize("client", LOCAL)
def test_loopback_addresses_are_local(client: str) -> None:
    assert is_local(client)


@pytest.mark.parametrize("client", ELSEWHERE)
def test_other_addresses_and_names_are_not_local(client: str) -> None:
    assert not is_local(client)


@pytest.mark.parametrize(
    ("word", "tls", "client", "allowed"),
    [
        ("always", False, "192.0.2.7", True),
        ("default", False, "192.0.2.7", True),
        ("local", False, "::1", True),
        ("local", False, "192.0.2.7", False),
        ("local", True, "192.0.2.7", True),
        ("tls", True, "192.0.2.7", True),
        ("tls", False, "127.0.0.1", False),
        ("never", True, "127.0.0.1", False),
        ("never", False, "127.0.0.1", False),
        ("what", True, "127.0.0.1", False),
    ],
)
def test_each_word_allows_what_it_says(word: str, tls: bool, client: str, allowed: bool) -> None:
    assert clear_text_allowed(word, tls, client) is allowed


def test_default_wants_apop_of_those_who_have_a_secret_for_it() -> None:
    assert stronger_required("default", tls=False, has_apop_secret=True)
    assert not stronger_required("default", tls=False, has_apop_secret=False)
    assert not stronger_required("default", tls=True, has_apop_secret=True)
    assert not stronger_required("always", tls=False, has_apop_secret=True)
