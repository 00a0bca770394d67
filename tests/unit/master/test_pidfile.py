"""The pid file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from preforkpop.master.pidfile import PidFile, RunningError


def test_it_holds_the_pid_and_goes_at_the_end(tmp_path: Path) -> None:
    pid_file = PidFile(str(tmp_path))
    pid_file.write()
    path = tmp_path / "preforkpop.pid"
    assert path.read_text() == f"{os.getpid()}\n"
    pid_file.remove()
    assert not path.exists()


def test_a_second_server_is_refused_and_told_the_pid(tmp_path: Path) -> None:
    first = PidFile(str(tmp_path))
    first.write()
    with pytest.raises(RunningError, match=f"running already, pid {os.getpid()}"):
        PidFile(str(tmp_path))
    first.remove()


def test_what_a_crash_left_behind_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "preforkpop.pid").write_text("4711111\n")
    pid_file = PidFile(str(tmp_path))
    pid_file.write()
    assert (tmp_path / "preforkpop.pid").read_text() == f"{os.getpid()}\n"
    pid_file.remove()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "preforkpop.pid").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        PidFile(str(tmp_path))
    assert (tmp_path / "target").read_text() == "precious"
