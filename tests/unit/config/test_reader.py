"""From text to settings, and every kind of fault that a value can have."""

from __future__ import annotations

from pathlib import Path

import pytest

from preforkpop.config import reader
from preforkpop.config.faults import ConfigError
from preforkpop.config.settings import Settings
from tests.unit.config.helpers import CERTIFICATE, FRED, ROOT, faults, read, told, warnings

HERE = Path(__file__).parent


# -- what is read ---------------------------------------------------------------------------


def test_an_empty_file_is_all_defaults() -> None:
    assert read("").settings == Settings()


def test_established_names_and_defaults_stay() -> None:
    """Files and scripts of administrators rely on each of them."""
    text = (HERE / "established.toml").read_text()
    assert read(text).settings == read(CERTIFICATE).settings


def test_each_type_of_value() -> None:
    settings = read(
        """
        [service]
        users = "system"
        shutdown_grace = 12
        [pool]
        start_workers = 5
        maximum_worker_memory = "1GiB"
        [login]
        timeout = 1.5
        [authentication]
        downcase_user = true
        mechanisms = ["PLAIN", "USER"]
        """
    ).settings
    assert settings.service.shutdown_grace == 12.0
    assert isinstance(settings.service.shutdown_grace, float)
    assert settings.pool.start_workers == 5
    assert settings.pool.maximum_worker_memory == 2**30
    assert settings.login.timeout == 1.5
    assert settings.authentication.downcase_user
    assert settings.authentication.mechanisms == ("PLAIN", "USER")


def test_lists_of_sections_in_both_spellings() -> None:
    tables = '[[listeners]]\naddress = ":1110"\n[[listeners]]\naddress = ":1995"\ntls = "off"\n'
    inline = 'listeners = [{address = ":1110"}, {address = ":1995", tls = "off"}]\n'
    assert read(tables).settings.listeners == read(inline).settings.listeners
    assert [one.tls for one in read(tables).settings.listeners] == ["stls", "off"]


@pytest.mark.parametrize(
    ("text", "octets"), [("33554432B", 2**25), ("32768KiB", 2**25), ("64 MiB", 2**26)]
)
def test_sizes(text: str, octets: int) -> None:
    settings = read(f'[pool]\nmaximum_worker_memory = "{text}"').settings
    assert settings.pool.maximum_worker_memory == octets


# -- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("pool = 3", "1: pool: is a number; accepted: one section, [pool]"),
        ("[[pool]]", "1: pool: is a list; accepted: one section, [pool]"),
        ("[listeners]", "1: listeners: is a section; accepted: any number of [[listeners]]"),
        (
            "listeners = [3]",
            "1: listeners: has a number in it; accepted: any number of [[listeners]]",
        ),
        ("listeners = []", "1: listeners: is empty; accepted: at least one [[listeners]]"),
        (
            "[pool]\nstart_workers = true",
            "2: pool.start_workers: is a truth value; accepted: a whole number from 1 to 10000",
        ),
        (
            "[pool]\nstart_workers = 2.0",
            "2: pool.start_workers: is a number; accepted: a whole number from 1 to 10000",
        ),
        (
            "[pool]\nstart_workers = 0",
            "2: pool.start_workers: 0 is out of range; accepted: a whole number from 1 to 10000",
        ),
        (
            f"[pool]\nsessions_per_worker = {10**30}",
            "2: pool.sessions_per_worker: the value is out of range; accepted: a whole number of at"
            " least 0, and at most 2147483647",
        ),
        (
            "[login]\ntimeout = 0.5",
            "2: login.timeout: 0.5 is out of range; accepted: a number of seconds from 1 to 3600",
        ),
        (
            "[login]\ntimeout = nan",
            "2: login.timeout: the value is out of range; accepted: a number of seconds from 1 to"
            " 3600",
        ),
        (
            '[login]\ntimeout = "60"',
            "2: login.timeout: is a string; accepted: a number of seconds from 1 to 3600",
        ),
        (
            "[dns]\nreverse_lookup = 1",
            "2: dns.reverse_lookup: is a number; accepted: true or false",
        ),
        (
            "[tls]\nminimum_version = 1.2",
            '2: tls.minimum_version: is a number; accepted: "1.2" or "1.3"',
        ),
        (
            "[logging]\nlevel = 2001-01-01",
            '2: logging.level: is a date or time; accepted: "error", "warning", "notice", "info" or'
            ' "debug"',
        ),
        (
            '[service]\nusers = "virtaul"',
            '2: service.users: "virtaul" is not known (did you mean "virtual"?); accepted: "system"'
            ' or "virtual"',
        ),
        (
            '[service]\nrun_dir = "run"',
            '2: service.run_dir: "run" is not absolute; accepted: an absolute path',
        ),
        (
            '[service]\nrun_dir = ""',
            '2: service.run_dir: "" is not absolute; accepted: an absolute path',
        ),
        (
            '[service]\nlogin_user = ""',
            "2: service.login_user: is empty; accepted: a string that is not",
        ),
        (
            '[login]\ngreeting = "a\\r\\n+OK"',
            "2: login.greeting: has a control character; accepted: one line of text",
        ),
        (
            '[service]\nrun_dir = "/a\\u0000b"',
            "2: service.run_dir: has a control character; accepted: one line of text",
        ),
        (
            '[[listeners]]\naddress = "::1:110"',
            '2: listeners.address: "::1:110": an IPv6 address stands in brackets, "[::1]:110"',
        ),
        (
            '[[listeners]]\naddress = "localhost"',
            '2: listeners.address: "localhost" is no address: "host:port", "[v6]:port" or ":port"',
        ),
        (
            '[[listeners]]\naddress = "a..b:110"',
            '2: listeners.address: "a..b:110" has no valid host name',
        ),
        (
            '[pool]\nmaximum_worker_memory = "64 MB"',
            '2: pool.maximum_worker_memory: "64 MB" is no size; accepted: a size like "64MiB"'
            " (units B, KiB, MiB, GiB, TiB) of at least 32MiB",
        ),
        (
            '[pool]\nmaximum_worker_memory = "1KiB"',
            '2: pool.maximum_worker_memory: 1KiB is out of range; accepted: a size like "64MiB"'
            " (units B, KiB, MiB, GiB, TiB) of at least 32MiB, and at most 1024TiB",
        ),
        (
            "[pool]\nmaximum_worker_memory = 67108864",
            '2: pool.maximum_worker_memory: is a number; accepted: a size like "64MiB" (units B,'
            " KiB, MiB, GiB, TiB) of at least 32MiB",
        ),
        (
            '[maildrop]\nlocks = "dotlock"',
            '2: maildrop.locks: is a string; accepted: a list of "dotlock", "fcntl" or "flock"',
        ),
        (
            "[maildrop]\nlocks = []",
            '2: maildrop.locks: is empty; accepted: a list of "dotlock", "fcntl" or "flock"',
        ),
        (
            '[maildrop]\nlocks = ["fcntl",\n"dotlok"]',
            '3: maildrop.locks: "dotlok" is not known (did you mean "dotlock"?); accepted:'
            ' "dotlock", "fcntl" or "flock"',
        ),
        (
            '[maildrop]\nlocks = ["fcntl",\n"fcntl"]',
            '3: maildrop.locks: "fcntl" is in the list already; once is enough',
        ),
        (
            "[maildrop]\nlocks = [7]",
            '2: maildrop.locks: is a number; accepted: "dotlock", "fcntl" or "flock"',
        ),
        (
            CERTIFICATE + '[[tls.names]]\ncertificate = "/c.pem"',
            "3: tls.names.name: is missing; accepted: a string",
        ),
    ],
)
def test_a_value_that_cannot_be_used(text: str, fault: str) -> None:
    assert faults(text) == [f"c.toml:{fault}"]


def test_a_key_that_is_not_known_is_told_with_the_nearest_and_all_others() -> None:
    assert faults("[dns]\ntime-out = 3") == [
        'c.toml:2: dns.time-out: there is no such key (did you mean "timeout"?); accepted:'
        " reverse_lookup, timeout"
    ]
    assert faults("[dns]\nxyz = 3") == [
        "c.toml:2: dns.xyz: there is no such key; accepted: reverse_lookup, timeout"
    ]


def test_a_key_in_the_wrong_section_is_sent_to_the_right_one() -> None:
    (fault,) = faults("[dns]\nmail_lock_check = 3")
    assert '(did you mean "maildrop.mail_lock_check"?)' in fault
    (fault,) = faults("start_workers = 3")
    assert '(did you mean "pool.start_workers"?)' in fault


def test_a_section_that_is_not_known() -> None:
    (fault,) = faults("\n[polo]\nx = 1")
    assert fault.startswith('c.toml:2: polo: there is no such section (did you mean "pool"?)')
    assert "accepted: service, listeners, tls, pool," in fault


def test_all_faults_are_told_at_once_in_the_order_of_the_file() -> None:
    found = told('[tls]\nx = 1\n[pool]\nstart_workers = "a"\nmaximum_spare = 200\n[login]\ny = 2\n')
    errors = [fault for fault in found if not fault.warning]
    assert [fault.line for fault in errors] == [2, 4, 5, 7]


def test_what_could_follow_from_another_fault_is_not_told() -> None:
    assert len(faults('[pool]\nmaximum_workers = "many"\nstart_workers = 500\n')) == 1
    assert len(faults('[[listeners]]\naddress = 1\n[[listeners]]\naddress = "[::]:110"\n')) == 1


# -- what a later version will have ---------------------------------------------------------


def test_settings_of_a_later_version_can_have_their_default_alone() -> None:
    assert faults('[admission]\ncps = ""\nonly_from = []\nminimum_free_memory = ""\n') == []
    assert faults('[admission]\ncps = "50 10"') == [
        "c.toml:2: admission.cps: this version does not have it yet; only the default is accepted:"
        ' ""'
    ]
    assert faults('[admission]\nonly_from = ["::1"]') == [
        "c.toml:2: admission.only_from: this version does not have it yet; only the default is"
        " accepted: []"
    ]


def test_a_choice_of_a_later_version_is_refused() -> None:
    assert faults('[maildrop]\nuidl = "dovecot"') == [
        'c.toml:2: maildrop.uidl: this version does not have "dovecot" yet; accepted: "native"'
    ]


def test_a_mechanism_of_a_later_version_is_a_warning() -> None:
    text = CERTIFICATE + '[authentication]\nmechanisms = ["USER",\n"CRAM-MD5"]\n'
    assert faults(text) == []
    assert warnings(text) == [
        'c.toml:5: warning: authentication.mechanisms: this version does not have "CRAM-MD5" yet'
        " and goes without it"
    ]
    assert read(text).settings.authentication.mechanisms == ("USER", "CRAM-MD5")


def test_the_default_mechanisms_are_no_warning() -> None:
    names = '"USER", "APOP", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"'
    assert warnings(f"{CERTIFICATE}[authentication]\nmechanisms = [{names}]\n") == []


# -- files ----------------------------------------------------------------------------------


def test_the_default_file_is_read_when_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "preforkpop.toml"
    monkeypatch.setattr(reader, "DEFAULT_PATH", str(path))
    assert reader.read(None, ROOT).settings == Settings()
    path.write_text("[pool]\nstart_workers = 3\n")
    configuration = reader.read(None, ROOT)
    assert configuration.settings.pool.start_workers == 3
    assert configuration.document.path == str(path)


def test_a_default_file_that_cannot_be_read_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "preforkpop.toml"
    path.symlink_to(path)
    monkeypatch.setattr(reader, "DEFAULT_PATH", str(path))
    with pytest.raises(ConfigError, match="symbolic links"):
        reader.read(None, ROOT)


def test_a_file_that_is_named_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        reader.load(str(tmp_path / "none.toml"))


def test_load_gives_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[pool]\nstart_workers = 3\n")
    assert reader.load(str(path)).pool.start_workers == 3


def test_the_account_that_runs_the_program_decides_where_its_files_are() -> None:
    assert read("", FRED).settings.service.run_dir == "/run/user/1000/preforkpop"
    assert read("", ROOT).settings.service.run_dir == "/run/preforkpop"
