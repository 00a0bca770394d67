"""config check and config show, as an administrator calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preforkpop.cli.main import main
from preforkpop.config import reader

HERE = Path(__file__).parents[1] / "config"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration that can be used on any machine."""
    path = tmp_path / "c.toml"
    (tmp_path / "users").write_text("fred:{PLAIN}secret\n")
    path.write_text(
        f"""
        [service]
        users = "virtual"
        mail_user = "mail"
        login_user = "nobody"
        run_dir = "{tmp_path}/run"
        state_dir = "{tmp_path}/state"
        [maildrop]
        path = "{tmp_path}/{{user}}"
        [logging]
        target = "{tmp_path}/log"
        [authentication]
        clear_text_password = "local"
        [[authentication.sources]]
        type = "passwd-file"
        path = "{tmp_path}/users"
        [[listeners]]
        address = "127.0.0.1:1110"
        """
    )
    return path


def check(path: Path, *words: str) -> int:
    return main(["config", "check", "--config", str(path), *words])


def test_a_good_configuration(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(file) == 0
    assert capsys.readouterr() == (f"{file}: can be used\n", "")


def test_faults_of_the_file_one_line_each(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("[pool]\nstart_workers = 0\nspare = 1\n")
    assert check(file) == 78
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert [line.split(": ")[:2] for line in lines if "warning" not in line] == [
        [f"{file}:2", "pool.start_workers"],
        [f"{file}:3", "pool.spare"],
    ]


def test_faults_of_the_machine(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parent / "users").chmod(0o666)
    assert check(file) == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{file.parent}/users: can be written by everybody")


def test_a_faulty_user_costs_nobody_else_the_login(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    users = file.parent / "users"
    users.write_text("fred:{PLAIN}secret\nann\n")
    assert check(file) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{users}:2: warning: has no password")


def test_warnings_do_not_make_it_unusable(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parent / "users").write_text("")
    assert check(file) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{file}: can be used\n"
    assert printed.err == f"{file.parent}/users: warning: has no users\n"


def test_faults_for_programs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(file, "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    file.write_text("[dns]\nx = 1\n")
    assert check(file, "--json") == 78
    printed = capsys.readouterr()
    assert printed.err == ""
    first = json.loads(printed.out)[-1]
    assert first == {
        "file": str(file),
        "line": 2,
        "key": "dns.x",
        "problem": "there is no such key; accepted: reverse_lookup, timeout",
        "warning": False,
    }


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none.toml"
    assert check(path) == 78
    assert capsys.readouterr().err == f"{path}: cannot be read: No such file or directory\n"


def test_show_can_be_checked(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--config", str(file)]) == 0
    shown = file.parent / "shown.toml"
    shown.write_text(capsys.readouterr().out)
    assert check(shown) == 0
    assert reader.load(str(shown)) == reader.load(str(file))


def test_show_for_programs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--json", "--config", str(file)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["settings"]["service"]["mail_user"] == "mail"
    assert data["lines"]["service.mail_user"] == 4


def test_show_defaults_leaves_the_file_out(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--defaults", "--config", str(file)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# The configuration in force, without a file.\n")
    assert 'mail_user = ""  # default' in printed


def test_show_of_a_bad_file_tells_the_faults(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("[dns]\nx = 1\n")
    assert main(["config", "show", "--config", str(file)]) == 78
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{file}:2: dns.x: " in printed.err


def test_without_any_file_the_defaults_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reader, "DEFAULT_PATH", str(tmp_path / "none.toml"))
    main(["config", "check", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {fault["file"] for fault in found} == {"(defaults)"}
    assert "authentication.clear_text_password" in {fault["key"] for fault in found}
