"""A Maildir that is not what it should be is refused, with a line that says what to do."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from preforkpop.maildrop.base import MaildropError
from preforkpop.maildrop.maildir.folder import Folder, look
from tests.unit.maildrop.maildir.conftest import Box


def refusal(path: Path, owner: int | None = None) -> MaildropError:
    with pytest.raises(MaildropError) as caught:
        look(str(path), os.geteuid() if owner is None else owner)
    return caught.value


def test_a_maildir_is_accepted_and_its_stamps_tell_changes(box: Box) -> None:
    before = look(str(box.path), os.geteuid())
    assert before == look(str(box.path), os.geteuid())
    box.add("new/1.2.host")
    assert look(str(box.path), os.geteuid()) != before


def test_a_missing_maildir_in_an_existing_directory_is_none(tmp_path: Path) -> None:
    assert look(str(tmp_path / "Maildir"), os.geteuid()) is None


def test_a_missing_home_may_come_back(tmp_path: Path) -> None:
    error = refusal(tmp_path / "home" / "Maildir")
    assert error.code == "SYS/TEMP"
    assert str(tmp_path / "home") in error.detail
    assert str(tmp_path) not in error.text


@pytest.mark.parametrize("where", ["", "new", "cur"])
def test_links_are_not_followed(box: Box, tmp_path: Path, where: str) -> None:
    path = box.path / where
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    error = refusal(box.path)
    assert error.code == "SYS/PERM"
    assert str(path) in error.detail
    assert "symbolic link" in error.detail


@pytest.mark.parametrize("where", ["", "new", "cur"])
def test_a_file_is_no_maildir(box: Box, where: str) -> None:
    path = box.path / where
    shutil.rmtree(path)
    path.touch()
    error = refusal(box.path)
    assert error.code == "SYS/PERM"
    assert str(path) in error.detail


@pytest.mark.parametrize("where", ["new", "cur"])
def test_half_a_maildir_is_refused(box: Box, where: str) -> None:
    (box.path / where).rmdir()
    error = refusal(box.path)
    assert error.code == "SYS/PERM"
    assert str(box.path / where) in error.detail


def test_the_maildir_of_another_owner_is_refused(box: Box) -> None:
    error = refusal(box.path, os.geteuid() + 1)
    assert error.code == "SYS/PERM"
    assert f"chown it to uid {os.geteuid() + 1}" in error.detail


def test_only_the_directories_that_were_looked_at_are_opened(box: Box) -> None:
    stamps = look(str(box.path), os.geteuid())
    assert stamps is not None
    (box.path / "cur").rename(box.path / "old")
    (box.path / "cur").mkdir()
    with pytest.raises(MaildropError) as caught:
        Folder(str(box.path), stamps)
    assert caught.value.code == "SYS/TEMP"
    shutil.rmtree(box.path)
    with pytest.raises(MaildropError):
        Folder(str(box.path), stamps)
