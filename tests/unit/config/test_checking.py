"""Settings that do not go together."""

from __future__ import annotations

import pytest

from tests.unit.config.helpers import CERTIFICATE, faults, read


def listeners(*addresses: str) -> str:
    return "".join(f'[[listeners]]\naddress = "{one}"\n' for one in addresses)


# -- service --------------------------------------------------------------------------------


def test_a_run_dir_whose_socket_would_have_no_name() -> None:
    (fault,) = faults(f'[service]\nrun_dir = "/{"x" * 100}"')
    assert "c.toml:2: service.run_dir: is too long for the name of a socket" in fault


# -- listeners ------------------------------------------------------------------------------


def test_implicit_tls_needs_a_certificate() -> None:
    text = '[[listeners]]\naddress = ":995"\ntls = "implicit"\n'
    assert faults(text) == [
        'c.toml:3: listeners.tls: "implicit" needs a certificate: set tls.certificate, or "stls" or'
        ' "off" here'
    ]
    assert faults(text + CERTIFICATE) == []


def test_stls_without_a_certificate_is_just_not_offered() -> None:
    assert faults('[[listeners]]\naddress = ":110"\ntls = "stls"\n') == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("127.0.0.1:110", "127.0.0.1:110"),
        ("[::]:110", ":110"),
        ("[::]:110", "127.0.0.1:110"),
        ("[::1]:110", "[::]:110"),
        ("0.0.0.0:110", "127.0.0.1:110"),
        ("0.0.0.0:110", "[::]:110"),
        ("LOCALHOST:110", "localhost:110"),
    ],
)
def test_two_listeners_on_one_address(one: str, other: str) -> None:
    assert faults(listeners(one, other)) == [
        f'c.toml:4: listeners.address: "{other}" is part of "{one}", on which another listener'
        " listens"
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[::]:110", "[::]:995"),
        ("127.0.0.1:110", "127.0.0.2:110"),
        ("0.0.0.0:110", "[::1]:110"),
        ("127.0.0.1:110", "[::1]:110"),
    ],
)
def test_listeners_that_do_not_meet(one: str, other: str) -> None:
    assert faults(listeners(one, other)) == []


# -- certificates ---------------------------------------------------------------------------


def test_a_key_or_names_without_a_certificate() -> None:
    (fault,) = faults('[tls]\nprivate_key = "/k.pem"')
    assert fault == "c.toml:2: tls.private_key: needs a certificate: set tls.certificate"
    (fault,) = faults('[[tls.names]]\nname = "a"\ncertificate = "/a.pem"')
    assert fault == "c.toml:1: tls.names: needs a certificate: set tls.certificate"


def test_names_that_no_client_can_tell_apart_or_ask_for() -> None:
    names = "".join(
        f'[[tls.names]]\nname = "{name}"\ncertificate = "/c.pem"\n'
        for name in ("a.b", "A.B", "c..d")
    )
    assert faults(CERTIFICATE + names) == [
        'c.toml:7: tls.names.name: "A.B" has a certificate already',
        "c.toml:10: tls.names.name: is no host name that a client could ask for",
    ]


# -- the pool -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("minimum_spare = 17", "minimum_spare"),
        ("maximum_spare = 151", "maximum_spare"),
        ("start_workers = 151", "start_workers"),
        ("maximum_workers = 10\nminimum_spare = 11", "minimum_spare"),
    ],
)
def test_sizes_of_the_pool_that_contradict_each_other(text: str, key: str) -> None:
    (fault,) = faults("[pool]\n" + text)
    line = 1 + len(text.splitlines())
    assert fault.startswith(f"c.toml:{line}: pool.{key}: ")
    assert fault.endswith(
        "accepted: minimum_spare <= maximum_spare <= maximum_workers and start_workers <="
        " maximum_workers"
    )


def test_sizes_of_the_pool_may_be_equal() -> None:
    keys = ("minimum_spare", "maximum_spare", "maximum_workers", "start_workers")
    assert faults("[pool]\n" + "".join(f"{key} = 20\n" for key in keys)) == []


# -- greeting and log -----------------------------------------------------------------------


@pytest.mark.parametrize("greeting", ["caf\u00e9", "x" * 301, "ready <1@x>"])
def test_a_greeting_that_would_confuse_clients(greeting: str) -> None:
    (fault,) = faults(f'[login]\ngreeting = "{greeting}"')
    assert fault.startswith("c.toml:2: login.greeting: ")


def test_a_greeting_of_the_house() -> None:
    assert read('[login]\ngreeting = "pop.example.org at your service"').settings.login.greeting


@pytest.mark.parametrize("target", ["syslog", "stderr", "/var/log/pop3.log"])
def test_places_for_the_log(target: str) -> None:
    assert faults(f'[logging]\ntarget = "{target}"') == []


@pytest.mark.parametrize("target", ["", "stdout", "log/pop3.log"])
def test_places_that_no_log_goes_to(target: str) -> None:
    assert faults(f'[logging]\ntarget = "{target}"') == [
        f'c.toml:2: logging.target: "{target}" is no place for a log; accepted: "syslog", "stderr"'
        " or the absolute path of a file"
    ]
