"""The name that tells a login that a session died."""

from __future__ import annotations

from pathlib import Path

from preforkpop.maildrop.mbox import mark


def test_a_mark_comes_and_goes(tmp_path: Path) -> None:
    state, notes = str(tmp_path), list[str]()
    assert not mark.found(state)
    mark.make(state, notes)
    mark.make(state, notes)
    assert mark.found(state)
    assert not mark.is_journal(state)
    mark.remove(state)
    mark.remove(state)
    assert not mark.found(state)
    assert notes == []


def test_a_journal_is_never_removed_as_a_mark(tmp_path: Path) -> None:
    (tmp_path / mark.NAME).write_bytes(b"x")
    mark.make(str(tmp_path), [])
    mark.remove(str(tmp_path))
    assert mark.is_journal(str(tmp_path))


def test_a_directory_that_cannot_be_written_is_noted(tmp_path: Path) -> None:
    notes: list[str] = []
    mark.make(f"{tmp_path}/missing", notes)
    assert len(notes) == 1
    assert f"{tmp_path}/missing" in notes[0]
    mark.remove(f"{tmp_path}/missing")
    mark.sweep(f"{tmp_path}/missing")
    assert not mark.is_journal(f"{tmp_path}/missing")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"x")
    (tmp_path / mark.NAME).symlink_to(tmp_path / "other")
    mark.make(str(tmp_path), [])
    assert (tmp_path / "other").read_bytes() == b"x"


def test_only_temporary_files_are_swept(tmp_path: Path) -> None:
    keep = ["index", "journal", "session", "journal.aside.12", "index.0123456789abcde", "x.0" * 5]
    sweep = ["journal.0123456789abcdef", "index.fedcba9876543210"]
    for name in keep + sweep:
        (tmp_path / name).touch()
    mark.sweep(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(keep)
