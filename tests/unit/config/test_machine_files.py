"""What config check finds among files and directories."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from preforkpop.config import machine, machine_files, reader
from tests.unit.config.helpers import changed
from tests.unit.config.helpers import told_of_machine as told

# -- the configuration itself ---------------------------------------------------------------


def test_a_configuration_that_others_can_change(settled: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(settled)
    path.chmod(0o646)
    assert [str(fault) for fault in machine.faults(reader.read(str(path)))] == [
        f"{path}: warning: can be written by everybody; chmod o-w"
    ]


@pytest.mark.root
def test_a_configuration_that_is_not_roots(settled: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(settled)
    os.chown(path, 1, 1)
    (fault,) = machine.faults(reader.read(str(path)))
    assert fault.problem == "belongs to uid 1 and not to root"


# -- certificates ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pem(tmp_path: Path, authority: trustme.CA) -> Path:
    """A file with a certificate and its key."""
    path = tmp_path / "pop.pem"
    authority.issue_cert("pop.example.org").private_key_and_cert_chain_pem.write_to_path(path)
    path.chmod(0o600)
    return path


def tls(settled: str, **keys: object) -> str:
    return settled + "\n".join(f'tls.{key} = "{value}"' for key, value in keys.items())


def test_a_certificate_with_its_key(settled: str, pem: Path) -> None:
    assert told(tls(settled, certificate=pem)) == []


def test_a_certificate_that_is_missing(settled: str, tmp_path: Path) -> None:
    path = tmp_path / "none.pem"
    assert told(tls(settled, certificate=path)) == [
        f"tls.certificate: {path}: No such file or directory"
    ]


def test_a_key_that_is_missing(settled: str, pem: Path, tmp_path: Path) -> None:
    path = tmp_path / "none.pem"
    assert told(tls(settled, certificate=pem, private_key=path)) == [
        f"tls.private_key: {path}: No such file or directory"
    ]


def test_a_key_of_another_certificate(
    settled: str, pem: Path, tmp_path: Path, authority: trustme.CA
) -> None:
    path = tmp_path / "key.pem"
    authority.issue_cert("other.example.org").private_key_pem.write_to_path(path)
    (fault,) = told(tls(settled, certificate=pem, private_key=path))
    assert fault.startswith(f"tls.private_key: {path}: ")


def test_a_file_that_is_no_certificate(settled: str, tmp_path: Path) -> None:
    (fault,) = told(tls(settled, certificate=tmp_path / "users"))
    assert fault.startswith(f"tls.certificate: {tmp_path}/users: ")


def test_ciphers_that_openssl_does_not_know(settled: str, pem: Path) -> None:
    names = f'\ntls.names = [{{name = "a", certificate = "{pem}"}}]'
    assert told(tls(settled, certificate=pem, ciphers="rot13") + names) == [
        'tls.ciphers: OpenSSL knows none of "rot13"'
    ]


def test_each_name_has_its_own_certificate(settled: str, pem: Path, tmp_path: Path) -> None:
    names = f'\ntls.names = [{{name = "a", certificate = "{tmp_path}/none.pem"}}]'
    assert told(tls(settled, certificate=pem) + names) == [
        f"tls.names.certificate: {tmp_path}/none.pem: No such file or directory"
    ]


def test_a_certificate_that_has_expired(
    settled: str, tmp_path: Path, authority: trustme.CA
) -> None:
    path = tmp_path / "old.pem"
    ended = datetime.now(UTC) - timedelta(days=2)
    old = authority.issue_cert("pop.example.org", not_after=ended)
    old.private_key_and_cert_chain_pem.write_to_path(path)
    path.chmod(0o600)
    assert told(tls(settled, certificate=path)) == [
        f"warning: tls.certificate: {path} expired on {ended:%Y-%m-%d}"
    ]


def test_a_key_that_everybody_can_read(settled: str, pem: Path) -> None:
    pem.chmod(0o644)
    assert told(tls(settled, certificate=pem)) == [
        "warning: tls.certificate: everybody can read the private key; chmod o-r"
    ]


# -- directories, log, maildrops ------------------------------------------------------------


def test_a_directory_that_is_a_file(settled: str, tmp_path: Path) -> None:
    path = f"{tmp_path}/users"
    for text in (f'"{path}"', f'"{path}/below"'):
        assert told(changed(settled, "service.run_dir", text)) == [
            f"service.run_dir: {path} is not a directory"
        ]


def test_directories_that_only_others_can_write_in(
    settled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(os, "access", lambda path, _mode: path != str(tmp_path / "run"))
    assert told(settled) == [f"service.run_dir: {tmp_path}/run cannot be written in"]
    monkeypatch.setattr(os, "access", lambda path, _mode: path != str(tmp_path))
    assert f"service.state_dir: {tmp_path}/state/deep/below cannot be made in {tmp_path}" in (
        told(settled)
    )


def test_a_log_that_is_a_directory(settled: str, tmp_path: Path) -> None:
    assert told(changed(settled, "logging.target", f'"{tmp_path}"')) == [
        f"logging.target: {tmp_path} is no file that can be written"
    ]


def test_a_log_in_a_directory_that_does_not_exist(settled: str, tmp_path: Path) -> None:
    assert told(changed(settled, "logging.target", f'"{tmp_path}/none/log"')) == [
        f"logging.target: {tmp_path}/none/log cannot be made in its directory"
    ]


def test_a_machine_without_syslog(
    settled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = changed(settled, "logging.target", '"syslog"')
    monkeypatch.setattr(machine_files, "SYSLOG", str(tmp_path / "none"))
    (fault,) = told(text)
    assert fault.startswith("warning: logging.target: there is no ")
    monkeypatch.setattr(machine_files, "SYSLOG", str(tmp_path))
    assert told(text) == []


def test_a_directory_of_maildrops_that_does_not_exist(settled: str, tmp_path: Path) -> None:
    assert told(changed(settled, "maildrop.path", f'"{tmp_path}/none/{{user}}"')) == [
        f"warning: maildrop.path: there is no directory {tmp_path}/none"
    ]
    assert told(changed(settled, "maildrop.path", '"{home}/Maildir"')) == []
