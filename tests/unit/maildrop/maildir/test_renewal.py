"""The index costs or saves time, and is never a reason for a wrong answer."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from preforkpop.maildrop.maildir import renewal, scan
from preforkpop.maildrop.maildir.folder import Folder
from tests.unit.maildrop.maildir.conftest import LATER, Box, contents, ids


class Work:
    """Counts directories that are listed and files that are opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.listed = 0
        self.opened = 0
        real_names, real_open = Folder.names, Folder.open

        def names(folder: Folder, where: bytes) -> list[bytes]:
            self.listed += 1
            return real_names(folder, where)

        def open_(folder: Folder, where: bytes, name: bytes) -> tuple[int, os.stat_result]:
            self.opened += 1
            return real_open(folder, where, name)

        monkeypatch.setattr(Folder, "names", names)
        monkeypatch.setattr(Folder, "open", open_)

    def done(self) -> tuple[int, int]:
        """Since the last time."""
        done = (self.listed, self.opened)
        self.listed = self.opened = 0
        return done


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(monkeypatch)


def fill(box: Box, count: int) -> None:
    for number in range(count):
        box.add(f"new/{1000 + number}.1.host", b"%d\n" % number)


@pytest.mark.parametrize("count", [3, 2000])  # read at once, and in sections
def test_an_unchanged_maildir_is_not_read_again(box: Box, work: Work, count: int) -> None:
    fill(box, count)
    first = box.open()
    told = (first.count, first.octets, first.scan_listings(), first.unique_id_listings())
    assert work.done() == (2, count)
    second = box.open()
    assert (second.count, second.octets) == told[:2]
    assert (second.scan_listings(), second.unique_id_listings()) == told[2:]
    assert second.size(count) == first.size(count)
    assert work.done() == (0, 0)


def test_only_what_was_delivered_since_is_read(box: Box, work: Work) -> None:
    fill(box, 20)
    box.open()
    work.done()
    box.add("new/5000.1.host", b"late\n")
    (box.path / "new/1000.1.host").rename(box.path / "cur/1000.1.host:2,S")
    (box.path / "new/1001.1.host").unlink()
    maildrop = box.open()
    assert work.done() == (2, 1)
    assert maildrop.count == 20
    assert contents(maildrop)[-1] == b"late\n"
    assert ids(maildrop)[0] == b"1000.1.host"


def test_an_index_from_the_moment_of_a_change_is_not_trusted(box: Box, work: Work) -> None:
    """A second change within one tick of the clock leaves the times as they are."""
    fill(box, 3)
    before = os.stat(box.path / "new")
    box.open(later=0)
    box.add("new/5000.1.host", b"late\n")
    os.utime(box.path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    work.done()
    assert box.open().count == 4
    assert work.done() == (2, 1)
    box.open()
    assert work.done() == (0, 0)


def test_the_clock_of_the_files_may_be_ahead(box: Box, work: Work) -> None:
    fill(box, 3)
    box.open(later=-LATER)
    work.done()
    assert box.open(later=-LATER).count == 3
    assert work.done() == (2, 0)


def test_times_that_were_set_back_do_not_hide_a_delivery(box: Box) -> None:
    fill(box, 3)
    before = os.stat(box.path / "new")
    box.open()
    box.add("new/5000.1.host", b"late\n")
    os.utime(box.path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert box.open().count == 4


def test_another_maildir_in_its_place_is_noticed(box: Box) -> None:
    fill(box, 3)
    box.open()
    box.path.rename(box.path.parent / "old")
    for name in ("new", "cur", "tmp"):
        (box.path / name).mkdir(parents=True)
    assert box.open().count == 0


def test_files_that_move_while_we_look_are_neither_missed_nor_doubled(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(box, 5)
    real = Folder.names
    looks = 0

    def names(folder: Folder, where: bytes) -> list[bytes]:
        nonlocal looks
        found = real(folder, where)
        if looks < 5:  # somebody flags a message while new/ is read, each time
            name = f"{1000 + looks}.1.host"
            if (box.path / "new" / name).exists():
                (box.path / "new" / name).rename(box.path / "cur" / f"{name}:2,S")
        looks += 1
        return found

    monkeypatch.setattr(Folder, "names", names)
    maildrop = box.open()
    assert contents(maildrop) == [b"0\n", b"1\n", b"2\n", b"3\n", b"4\n"]
    assert looks >= 4


def test_an_index_of_a_moving_maildir_is_not_trusted(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(box, 3)
    serial = iter(range(5000, 6000))
    real = Folder.names

    def names(folder: Folder, where: bytes) -> list[bytes]:
        found = real(folder, where)
        box.add(f"new/{next(serial)}.1.host")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "names", names)
        box.open()
    maildrop = box.open()
    assert maildrop.count == len(box.files())


@pytest.mark.parametrize("count", [3, 2000])
@pytest.mark.parametrize("where", [0.0, 0.01, 0.3, 0.6, 0.99])
def test_damage_costs_time_and_nothing_else(box: Box, count: int, where: float) -> None:
    fill(box, count)
    first = box.open()
    told = (first.count, first.octets, first.scan_listings(), first.unique_id_listings())
    box.close()
    octets = bytearray(box.index.read_bytes())
    octets[int(where * len(octets))] ^= 0x40
    box.index.write_bytes(octets)
    maildrop = box.open()
    assert (maildrop.count, maildrop.octets) == told[:2]
    assert (maildrop.scan_listings(), maildrop.unique_id_listings()) == told[2:]
    assert b"".join(maildrop.chunks(count)) == b"%d\n" % (count - 1)
    maildrop = box.open()
    assert (maildrop.scan_listings(), maildrop.unique_id_listings()) == told[2:]
    assert b"".join(maildrop.chunks(count)) == b"%d\n" % (count - 1)
    assert maildrop.notes == []


@pytest.mark.parametrize("kind", ["missing", "directory", "symlink", "cut", "foreign"])
def test_a_useless_index_costs_time_and_nothing_else(box: Box, kind: str) -> None:
    fill(box, 3)
    before = contents(box.open())
    box.close()
    good = box.index.read_bytes()
    box.index.unlink()
    if kind == "directory":
        box.index.mkdir()
    elif kind == "symlink":
        (box.state / "elsewhere").write_bytes(good)
        box.index.symlink_to(box.state / "elsewhere")
    elif kind == "cut":
        box.index.write_bytes(good[: len(good) // 2])
    elif kind == "foreign":
        box.index.write_bytes(b"PFPMDIR0" + good[8:])
    maildrop = box.open()
    assert contents(maildrop) == before
    assert (len(maildrop.notes) == 1) == (kind == "directory"), "what cannot be replaced is told"


def test_a_full_disk_costs_time_and_nothing_else(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(box, 3)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(renewal, "replace_file", fail)
    for _ in range(2):
        maildrop = box.open()
        assert maildrop.count == 3
        assert "No space left on device" in maildrop.notes[0]


def test_what_a_killed_session_left_half_written_goes(box: Box) -> None:
    fill(box, 3)
    leftover = box.state / f"{box.index.name}.{'0' * 16}"
    leftover.write_bytes(b"half")
    assert box.open().count == 3
    assert not leftover.exists()


def test_what_was_counted_once_before_sending_is_not_counted_again(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (b"y" * 71 + b"\n") * (scan.CHUNK // 72 + 10)
    octets = len(content) + content.count(b"\n")
    box.add(f"cur/1.1.host,S={len(content)},W={octets}:2,S", content)
    counted: list[int] = []
    real = scan.count

    def count(descriptor: int, size: int) -> int:
        counted.append(size)
        return real(descriptor, size)

    monkeypatch.setattr("preforkpop.maildrop.maildir.access.count", count)
    monkeypatch.setattr(scan, "count", count)
    for _ in range(3):
        assert contents(box.open()) == [content]
    assert counted == [len(content)]
