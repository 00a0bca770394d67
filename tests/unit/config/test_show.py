"""What config show prints can be read back, and says where everything comes from."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.config.show import as_data, as_toml
from preforkpop.config.words import quoted
from tests.unit.config.helpers import CERTIFICATE, FRED, ROOT, read

FULL = """
[service]
users = "virtual"
mail_user = "vmail"
shutdown_grace = 0.25
[pool]
maximum_workers = 6
maximum_worker_memory = "33554433B"
[[listeners]]
address = "127.0.0.1:1110"
tls = "off"
[[listeners]]
address = "[::1]:1995"
tls = "implicit"
[tls]
certificate = "/etc/ssl/pop.pem"
[[tls.names]]
name = "pop.example.org"
certificate = "/etc/ssl/other \\" \\\\ \u00e9.pem"
[[authentication.sources]]
type = "passwd-file"
path = "/etc/preforkpop/users"
[[authentication.sources]]
type = "pam"
[maildrop]
path = "/var/vmail/{domain}/{name}"
locks = ["fcntl"]
"""


@pytest.mark.parametrize("text", ["", CERTIFICATE, FULL])
@pytest.mark.parametrize("surroundings", [ROOT, FRED])
def test_it_can_be_read_back(text: str, surroundings: object) -> None:
    configuration = read(text, surroundings)  # type: ignore[arg-type]
    assert read(as_toml(configuration)).settings == configuration.settings


def test_it_tells_what_the_file_sets_on_which_line() -> None:
    lines = as_toml(read(FULL)).splitlines()
    assert lines[0] == '# The configuration in force, from "c.toml".'
    assert 'users = "virtual"  # line 3' in lines
    assert "shutdown_grace = 0.25  # line 5" in lines
    assert 'maximum_worker_memory = "33554433B"  # line 8' in lines
    assert 'address = "[::1]:1995"  # line 13' in lines
    assert "maximum_spare = 6  # default" in lines


def test_data_for_programs() -> None:
    data = json.loads(json.dumps(as_data(read(FULL))))
    assert data["file"] == "c.toml"
    assert data["settings"]["pool"]["maximum_worker_memory"] == "33554433B"
    assert data["settings"]["listeners"][1]["tls"] == "implicit"
    assert data["settings"]["maildrop"]["locks"] == ["fcntl"]
    assert data["lines"]["listeners.1.address"] == 13
    assert "pool.maximum_spare" not in data["lines"]
    assert as_data(read(""))["lines"] == {}


def test_data_has_what_the_toml_has() -> None:
    configuration = read(FULL)
    assert tomllib.loads(as_toml(configuration)) == as_data(configuration)["settings"]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_text_survives(text: str) -> None:
    assert tomllib.loads(f"x = {quoted(text)}")["x"] == text


@given(st.floats(min_value=0, max_value=86400))
def test_any_number_survives(number: float) -> None:
    configuration = read(f"[service]\nshutdown_grace = {number!r}")
    assert read(as_toml(configuration)).settings.service.shutdown_grace == number
