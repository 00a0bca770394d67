"""Defaults that depend on the file and on who runs the program."""

from __future__ import annotations

import pytest

from preforkpop.config.surroundings import Surroundings
from tests.unit.config.helpers import CERTIFICATE, FRED, ROOT, read


def test_tls_from_the_start_is_listened_for_when_there_is_a_certificate() -> None:
    assert [(one.address, one.tls) for one in read("").settings.listeners] == [("[::]:110", "stls")]
    assert [(one.address, one.tls) for one in read(CERTIFICATE).settings.listeners] == [
        ("[::]:110", "stls"),
        ("[::]:995", "implicit"),
    ]


def test_listeners_of_the_file_are_all_there_are() -> None:
    settings = read(CERTIFICATE + '[[listeners]]\naddress = ":1110"\n').settings
    assert [one.address for one in settings.listeners] == [":1110"]


def test_a_small_pool_is_made_by_its_maximum_alone() -> None:
    pool = read("[pool]\nmaximum_workers = 3\n").settings.pool
    assert (pool.start_workers, pool.minimum_spare, pool.maximum_spare) == (3, 3, 3)
    pool = read("[pool]\nmaximum_workers = 20\nmaximum_spare = 2\n").settings.pool
    assert (pool.start_workers, pool.minimum_spare, pool.maximum_spare) == (8, 2, 2)


@pytest.mark.parametrize(
    ("environment", "run_dir", "state_dir"),
    [
        (
            {"XDG_RUNTIME_DIR": "/run/user/7", "XDG_STATE_HOME": "/s/", "HOME": "/h"},
            "/run/user/7/preforkpop",
            "/s/preforkpop",
        ),
        ({"HOME": "/h", "TMPDIR": "/t"}, "/t/preforkpop-7", "/h/.local/state/preforkpop"),
        ({}, "/tmp/preforkpop-7", "/tmp/preforkpop-7/state"),
        (
            {"XDG_RUNTIME_DIR": "run", "XDG_STATE_HOME": "~/s", "HOME": "", "TMPDIR": "."},
            "/tmp/preforkpop-7",
            "/tmp/preforkpop-7/state",
        ),
    ],
)
def test_directories_of_an_account_that_is_not_root(
    environment: dict[str, str], run_dir: str, state_dir: str
) -> None:
    service = read("", Surroundings(7, environment)).settings.service
    assert (service.run_dir, service.state_dir) == (run_dir, state_dir)


def test_directories_of_the_file_are_everybodys() -> None:
    text = '[service]\nrun_dir = "/r"\nstate_dir = "/s"\n'
    for surroundings in (ROOT, FRED):
        service = read(text, surroundings).settings.service
        assert (service.run_dir, service.state_dir) == ("/r", "/s")


def test_on_a_terminal_the_log_goes_there_unless_the_file_says_otherwise() -> None:
    terminal = Surroundings(0, {}, terminal=True)
    assert read("", terminal).settings.logging.target == "stderr"
    assert read('[logging]\ntarget = "syslog"', terminal).settings.logging.target == "syslog"
    assert read("", ROOT).settings.logging.target == "syslog"


def test_a_process_finds_its_own_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/8")
    assert Surroundings.here().run_dir == "/run/user/8/preforkpop"
    assert not Surroundings.here().terminal
