"""A file is the old one or the new one, and nothing is left beside it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from preforkpop.system.durable import remove_leftovers, replace_file, sync_directory


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


@pytest.mark.parametrize("sync", [True, False])
def test_the_new_content_is_there_and_its_status_is_given(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "index"
    path.write_bytes(b"old")
    status = replace_file(str(path), (b"new ", b"", b"content"), sync=sync)
    assert path.read_bytes() == b"new content"
    assert os.path.samestat(status, path.stat())
    assert (status.st_size, status.st_mode & 0o777) == (11, 0o600)
    assert names(tmp_path) == ["index"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / "index").symlink_to(target)
    replace_file(str(tmp_path / "index"), [b"new"], sync=False)
    assert target.read_bytes() == b"precious"
    assert not (tmp_path / "index").is_symlink()


def test_content_that_fails_half_way_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(b"old")

    def parts() -> Iterator[bytes]:
        yield b"x" * 1000000
        raise RuntimeError("a fault of the caller")

    with pytest.raises(RuntimeError):
        replace_file(str(tmp_path / "index"), parts(), sync=True)
    assert (tmp_path / "index").read_bytes() == b"old"
    assert names(tmp_path) == ["index"]


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_call_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (tmp_path / "index").write_bytes(b"old")

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="full"):
        replace_file(str(tmp_path / "index"), [b"new"], sync=True)
    assert (tmp_path / "index").read_bytes() == b"old"
    assert names(tmp_path) == ["index"]


def test_syncing_covers_the_file_before_its_name_and_the_directory_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        done.append("fsync " + os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))[:5])
        real_fsync(descriptor)

    def rename(source: str, target: str) -> None:
        done.append("rename")
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    directory = tmp_path / "state"
    directory.mkdir()
    replace_file(str(directory / "index"), [b"new"], sync=True)
    assert done == ["fsync index", "rename", "fsync state"]


def test_what_a_killed_replacement_left_can_be_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("index", "index.journal", "other.0123456789abcdef", "index.0123456789"):
        (tmp_path / name).touch()
    before = names(tmp_path)
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(os, "rename", lambda *_: os._exit(0))
        replace_file(str(tmp_path / "index"), [b"new"], sync=False)
    os.waitpid(child, 0)
    assert len(names(tmp_path)) == len(before) + 1
    remove_leftovers(str(tmp_path / "index"))
    assert names(tmp_path) == before


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_file(str(tmp_path / "none" / "index"), [b"new"], sync=False)
    with pytest.raises(FileNotFoundError):
        sync_directory(str(tmp_path / "none"))
