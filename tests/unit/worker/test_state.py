"""The directory of a user's lock, index and journal."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from preforkpop.worker import state


@pytest.fixture
def state_dir(tmp_path: Path) -> str:
    (tmp_path / "users").mkdir()
    return str(tmp_path)


def ensure(state_dir: str, uid: int | None = None) -> str:
    own = os.geteuid() if uid is None else uid
    return state.ensure(state_dir, "fred", own, os.getegid())


def test_it_is_made_for_the_user_alone(state_dir: str) -> None:
    path = ensure(state_dir)
    assert path == f"{state_dir}/users/fred"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    assert ensure(state_dir) == path


@pytest.mark.root
def test_root_makes_it_for_somebody_else(state_dir: str) -> None:
    path = state.ensure(state_dir, "fred", 4711, 4712)
    made = os.stat(path)
    assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (4711, 4712, 0o700)


@pytest.mark.root
def test_one_whose_maker_was_killed_before_it_was_the_users_is_given_to_the_user(
    state_dir: str,
) -> None:
    os.mkdir(f"{state_dir}/users/fred", 0o700)
    path = state.ensure(state_dir, "fred", 4711, 4712)
    assert (os.stat(path).st_uid, os.stat(path).st_gid) == (4711, 4712)


@pytest.mark.root
def test_one_of_another_user_stays_that_users(state_dir: str) -> None:
    state.ensure(state_dir, "fred", 4711, 4712)
    with pytest.raises(state.StateError, match="is not a directory of uid 4713"):
        state.ensure(state_dir, "fred", 4713, 4713)


def test_a_link_in_its_place_is_refused(state_dir: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "users" / "fred").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(state.StateError, match="is not a directory of uid"):
        ensure(state_dir)


def test_a_directory_of_somebody_else_is_refused(state_dir: str) -> None:
    path = Path(ensure(state_dir))
    if os.geteuid() == 0:
        os.chown(path, 4711, 4711)
    with pytest.raises(state.StateError, match="chown it"):
        ensure(state_dir, 4712)


def test_a_state_dir_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(state.StateError, match=f"cannot make {tmp_path}/none/users/fred"):
        ensure(f"{tmp_path}/none")
