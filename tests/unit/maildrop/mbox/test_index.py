"""The index file, and when it is believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from preforkpop.maildrop.mbox import index
from preforkpop.maildrop.mbox.index import Damaged
from tests.unit.maildrop.mbox.helpers import LONG_AGO, join, message
from tests.unit.maildrop.mbox.test_table import of

TABLE = of(join([message(1), message(2)]))
SECOND = 1_000_000_000


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    path.write_bytes(b"x" * TABLE.end)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def stored(state: Path, spool: Path, *, certain: bool = True) -> index.Index:
    index.store(str(state), index.Index(TABLE, index.packed(spool.stat()), certain=certain))
    found = index.load(str(state))
    assert found is not None
    return found


def test_what_is_stored_is_loaded(tmp_path: Path, spool: Path) -> None:
    found = stored(tmp_path, spool)
    assert found.table.parts() == TABLE.parts()
    assert (found.table.count, found.table.octets) == (TABLE.count, TABLE.octets)
    assert found.table.end == TABLE.end
    assert found.describes(spool.stat())
    assert (tmp_path / index.NAME).stat().st_mode & 0o777 == 0o600


def test_a_large_index_is_loaded_whole(tmp_path: Path, spool: Path) -> None:
    table = of(join([message(number) for number in range(2000)]))
    index.store(str(tmp_path), index.Index(table, index.packed(spool.stat()), certain=True))
    assert (tmp_path / index.NAME).stat().st_size > 100_000
    found = index.load(str(tmp_path))
    assert found is not None
    assert found.table.parts() == table.parts()
    for size in (100_000, 32768, 32767):
        os.truncate(tmp_path / index.NAME, size)
        with pytest.raises(Damaged):
            index.load(str(tmp_path))


def test_no_index(tmp_path: Path) -> None:
    assert index.load(str(tmp_path)) is None
    index.forget(str(tmp_path))


def test_every_octet_is_checked(tmp_path: Path, spool: Path) -> None:
    stored(tmp_path, spool)
    path = tmp_path / index.NAME
    octets = path.read_bytes()
    for place in range(len(octets)):
        damaged = bytearray(octets)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(Damaged):
            index.load(str(tmp_path))


@pytest.mark.parametrize("octets", [b"", b"x", b"\0" * 5000, b"\xff" * 40000])
def test_an_index_that_is_something_else(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / index.NAME).write_bytes(octets)
    with pytest.raises(Damaged):
        index.load(str(tmp_path))


def test_an_index_of_any_other_length(tmp_path: Path, spool: Path) -> None:
    stored(tmp_path, spool)
    path = tmp_path / index.NAME
    octets = path.read_bytes()
    for other in (octets[:-1], octets + b"x", octets[: index.HEADER]):
        path.write_bytes(other)
        with pytest.raises(Damaged):
            index.load(str(tmp_path))


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / index.NAME
    os.mkfifo(path)
    with pytest.raises(Damaged):
        index.load(str(tmp_path))
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(Damaged):
        index.load(str(tmp_path))


class TestWhichSpool:
    def test_another_size(self, tmp_path: Path, spool: Path) -> None:
        found = stored(tmp_path, spool)
        with spool.open("ab") as file:
            file.write(b"more")
        os.utime(spool, (LONG_AGO, LONG_AGO))
        assert not found.describes(spool.stat())
        assert found.may_have_grown(spool.stat())
        os.truncate(spool, TABLE.end - 1)
        assert not found.describes(spool.stat())
        assert not found.may_have_grown(spool.stat())

    def test_another_time(self, tmp_path: Path, spool: Path) -> None:
        found = stored(tmp_path, spool)
        os.utime(spool, (LONG_AGO, LONG_AGO + 1))
        assert not found.describes(spool.stat())
        assert not found.may_have_grown(spool.stat()), "as many octets, written in place"

    def test_a_time_that_was_put_back(self, tmp_path: Path, spool: Path) -> None:
        found = stored(tmp_path, spool)
        before = spool.stat().st_ctime_ns
        while spool.stat().st_ctime_ns == before:  # until the next tick
            spool.write_bytes(b"y" * TABLE.end)
            os.utime(spool, (LONG_AGO, LONG_AGO))
        assert not found.describes(spool.stat())
        assert not found.may_have_grown(spool.stat())

    def test_another_file(self, tmp_path: Path, spool: Path) -> None:
        found = stored(tmp_path, spool)
        copy = tmp_path / "copy"
        copy.write_bytes(spool.read_bytes() + b"more")
        os.utime(copy, (LONG_AGO, LONG_AGO))
        copy.rename(spool)
        assert not found.describes(spool.stat())
        assert not found.may_have_grown(spool.stat())

    def test_one_that_is_not_certain_does_not_describe_the_spool(
        self, tmp_path: Path, spool: Path
    ) -> None:
        found = stored(tmp_path, spool, certain=False)
        assert not found.describes(spool.stat())
        assert found.may_have_grown(spool.stat())

    def test_the_status_of_no_spool(self, tmp_path: Path, spool: Path) -> None:
        index.store(str(tmp_path), index.Index(TABLE, index.nowhere(TABLE.end), certain=True))
        found = index.load(str(tmp_path))
        assert found is not None
        assert found.table.end == TABLE.end
        assert not found.describes(spool.stat())
        assert not found.may_have_grown(spool.stat())


class TestTicks:
    """A file system counts time in ticks; within one a change may leave no trace."""

    @pytest.mark.parametrize(
        ("written", "after", "settled"),
        [
            (SECOND // 3, 0, False),
            (SECOND // 3, SECOND // 100, False),
            (SECOND // 3, SECOND // 10, True),
            (0, SECOND // 10, False),  # perhaps it counts whole seconds
            (0, 2 * SECOND, False),
            (0, 3 * SECOND, True),
            (SECOND // 3, -SECOND, False),  # a time to come
        ],
    )
    def test_settled(self, spool: Path, written: int, after: int, *, settled: bool) -> None:
        moment = spool.stat().st_ctime_ns // SECOND * SECOND + 10 * SECOND + written
        os.utime(spool, ns=(moment, moment))
        assert index.settled(spool.stat(), moment + after) == settled

    def test_a_time_that_was_put_back_does_not_settle_a_file(self, spool: Path) -> None:
        assert not index.settled(spool.stat(), spool.stat().st_ctime_ns)

    def test_a_stamped_file_shows_the_next_write(self, spool: Path) -> None:
        descriptor = os.open(spool, os.O_RDWR)
        try:
            for turn in range(50):
                now = LONG_AGO * SECOND + turn * SECOND // 7 + 1
                status, stamped = index.stamp(descriptor, now)
                assert stamped
                assert status.st_mtime_ns == now
                os.pwrite(descriptor, b"z", 0)
                assert index.packed(os.fstat(descriptor)) != index.packed(status)
        finally:
            os.close(descriptor)
