"""What is offered to whom before login."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preforkpop.auth.settings import Source
from preforkpop.config.settings import Settings
from preforkpop.login.policies import DEFAULT_GREETING, Policies
from preforkpop.login.settings import Login
from preforkpop.master.settings import Listener
from preforkpop.pop3.authorization import Policy

LOCAL, ELSEWHERE = "127.0.0.1", "192.0.2.7"
LISTENERS = (Listener(tls="stls"), Listener(tls="implicit"), Listener(tls="off"))


def settings(**authentication: object) -> Settings:
    base = Settings(listeners=LISTENERS)
    changed = replace(base.authentication, **authentication)  # type: ignore[arg-type]
    return replace(base, authentication=changed)


def policy(peer: str = ELSEWHERE, **authentication: object) -> Policy:
    return Policies(settings(**authentication), tls=True).find(0, peer)


def test_stls_is_offered_where_the_listener_says_so_and_there_is_a_certificate() -> None:
    with_certificate = Policies(settings(), tls=True)
    without = Policies(settings(), tls=False)
    assert [with_certificate.find(index, LOCAL).tls_available for index in range(3)] == [
        True,
        False,
        False,
    ]
    assert not any(without.find(index, LOCAL).tls_available for index in range(3))


@pytest.mark.parametrize(
    ("word", "local", "elsewhere"),
    [
        ("never", False, False),
        ("tls", False, False),
        ("local", True, False),
        ("always", True, True),
        ("default", True, True),
    ],
)
def test_passwords_in_the_clear_by_qpoppers_words(word: str, local: bool, elsewhere: bool) -> None:
    assert policy(LOCAL, clear_text_password=word).clear_text_allowed is local
    assert policy(ELSEWHERE, clear_text_password=word).clear_text_allowed is elsewhere


def test_never_means_that_no_password_is_taken_under_tls_either() -> None:
    assert policy(clear_text_password="never").accepted(tls=True) == ()


def test_names_of_mechanisms_that_are_not_spoken_are_not_offered() -> None:
    mechanisms = ("SCRAM-SHA-256", "PLAIN", "XOAUTH2", "USER")
    assert policy(mechanisms=mechanisms).mechanisms == ("PLAIN", "USER")
    assert policy(mechanisms=("SCRAM-SHA-256",)).mechanisms == ()


def test_apop_needs_to_be_wanted_and_a_source_that_has_secrets() -> None:
    file = (Source(type="passwd-file", path="/etc/preforkpop/users"),)
    pam = (Source(type="pam"),)
    assert policy(mechanisms=("APOP",), sources=(*pam, *file)).apop
    assert not policy(mechanisms=("APOP",), sources=pam).apop
    assert not policy(mechanisms=("USER",), sources=file).apop


def test_a_site_has_its_own_greeting() -> None:
    assert policy().greeting == DEFAULT_GREETING
    site = replace(settings(), login=Login(greeting="pop.example.org"))
    assert Policies(site, tls=False).find(0, LOCAL).greeting == "pop.example.org"


def test_policies_are_shared_by_all_clients() -> None:
    policies = Policies(settings(), tls=False)
    assert policies.find(0, ELSEWHERE) is policies.find(0, "198.51.100.1")


def test_a_listener_that_does_not_exist_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Policies(settings(), tls=False).find(3, LOCAL)
