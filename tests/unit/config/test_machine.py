"""What config check finds on the machine: accounts, addresses, sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from preforkpop.auth.backends import libpam
from preforkpop.config import machine
from preforkpop.config.surroundings import Surroundings
from preforkpop.system.accounts import SetupError
from tests.unit.config.helpers import changed, read
from tests.unit.config.helpers import told_of_machine as told


def test_nothing_is_wrong(settled: str) -> None:
    assert told(settled) == []


# -- accounts -------------------------------------------------------------------------------


def test_accounts_that_do_not_exist(settled: str) -> None:
    assert told(changed(settled, "service.mail_user", '"no-such"')) == [
        'service.mail_user: there is no account "no-such"'
    ]


def test_a_group_that_does_not_exist(settled: str) -> None:
    text = changed(settled, "service.users", '"system"').replace("mail_user", "mail_group")
    text = changed(text, "service.mail_group", '"no-such"')
    assert 'service.mail_group: there is no group "no-such"; "" for none' in told(text)


@pytest.mark.root
def test_the_login_user_falls_back_with_a_warning(settled: str) -> None:
    assert told(changed(settled, "service.login_user", '"no-such"')) == [
        'warning: service.login_user: there is no account "no-such": "nobody" is used, which other'
        " programs use too"
    ]


@pytest.mark.root
def test_mail_cannot_be_roots(settled: str) -> None:
    (fault,) = told(changed(settled, "service.mail_user", '"root"'))
    assert "is root or has group 0" in fault


def test_system_users_without_root_are_a_warning(settled: str) -> None:
    text = changed(settled, "service.users", '"system"').replace("service.mail_user = ", "#")
    configuration = read(text, Surroundings(1000, {}))
    assert any(
        fault.warning and fault.key == "service.users" for fault in machine.faults(configuration)
    )


# -- listeners ------------------------------------------------------------------------------


def test_a_host_that_cannot_be_looked_up(settled: str) -> None:
    (fault,) = told(changed(settled, "listeners", '[{address = "[fe80::zz]:110"}]'))
    assert fault.startswith('listeners.address: "fe80::zz": ')


def test_ports_that_only_root_can_listen_on(settled: str, tmp_path: Path) -> None:
    (tmp_path / "ports").write_text("111\n")
    faults = machine.faults(read(settled, Surroundings(1000, {})))
    assert [str(fault) for fault in faults] == [
        "c.toml:11: warning: listeners.address: only root can listen on ports below 111"
    ]
    (tmp_path / "ports").unlink()
    assert len(machine.faults(read(settled, Surroundings(1000, {})))) == 1
    assert machine.faults(read(settled, Surroundings(0, {}))) == []


# -- sources --------------------------------------------------------------------------------


def test_every_fault_of_a_file_of_users_with_its_own_line(settled: str, tmp_path: Path) -> None:
    (tmp_path / "users").write_text("fred:{PLAIN}secret\njoe:{WHAT}x\n\nann\n")
    faults = machine.faults(read(settled, Surroundings.here()))
    assert [(fault.file, fault.line) for fault in faults] == [
        (f"{tmp_path}/users", 2),
        (f"{tmp_path}/users", 4),
    ]
    assert "secret" not in "".join(map(str, faults))


def test_a_file_of_users_that_is_missing_or_empty(settled: str, tmp_path: Path) -> None:
    (tmp_path / "users").write_text("# nobody\n")
    assert told(settled) == ["warning: has no users"]
    (tmp_path / "users").unlink()
    assert told(settled) == ["cannot be opened: No such file or directory"]


def test_a_service_that_pam_has_no_rules_for(settled: str) -> None:
    text = changed(settled, "authentication.sources", '[{type = "pam", service = "no-such"}]')
    assert told(text) == [
        "warning: authentication.sources.service: there is no /etc/pam.d/no-such, so PAM goes by"
        ' the rules of its service "other"'
    ]


def test_a_service_that_pam_has_rules_for(
    settled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pop3").touch()
    monkeypatch.setattr(machine, "PAM_DIRECTORIES", (str(tmp_path),))
    assert told(changed(settled, "authentication.sources", '[{type = "pam"}]')) == []


def test_a_machine_without_pam(settled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> None:
        raise SetupError('authentication.sources: type "pam" needs libpam.so.0 (libpam0g)')

    monkeypatch.setattr(libpam, "load", load)
    faults = told(changed(settled, "authentication.sources", '[{type = "pam"}]'))
    assert 'authentication.sources.type: type "pam" needs libpam.so.0 (libpam0g)' in faults
