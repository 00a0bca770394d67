"""The directories of the server."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from preforkpop.config.settings import Settings
from preforkpop.master import directories
from preforkpop.master.births import Identities
from preforkpop.system.accounts import SetupError


def settings(path: Path) -> Settings:
    made = Settings()
    service = replace(
        made.service, users="virtual", run_dir=str(path / "run"), state_dir=str(path / "state")
    )
    return replace(made, service=service)


def prepare(path: Path) -> None:
    own = (os.geteuid(), os.getegid())
    directories.prepare(settings(path), Identities(root=own[0] == 0, login=own, mail=own))


def test_they_are_made_with_their_modes_and_may_be_there_already(tmp_path: Path) -> None:
    prepare(tmp_path)
    prepare(tmp_path)
    modes = {
        name: stat.S_IMODE((tmp_path / name).stat().st_mode)
        for name in ("run", "run/empty", "state", "state/users")
    }
    assert modes == {"run": 0o755, "run/empty": 0o755, "state": 0o711, "state/users": 0o711}


def test_two_that_begin_at_once_do_not_disturb_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lstat: Callable[..., os.stat_result] = os.lstat
    late: set[str] = set()

    def late_lstat(path: str) -> os.stat_result:
        """Another process makes each directory right after this one has looked."""
        if path not in late:
            late.add(path)
            os.makedirs(path, 0o755)
            raise FileNotFoundError
        return lstat(path)

    monkeypatch.setattr(os, "lstat", late_lstat)
    prepare(tmp_path)


def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    with pytest.raises(SetupError, match=r"^service\.run_dir: .* can be written by others"):
        prepare(tmp_path)


def test_an_empty_directory_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "run" / "empty" / "file").touch()
    with pytest.raises(SetupError, match="has to be empty"):
        prepare(tmp_path)
