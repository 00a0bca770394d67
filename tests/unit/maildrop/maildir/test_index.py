"""An index tells what was written to it, or that it is damaged; it never tells anything else."""

from __future__ import annotations

import os
from array import array
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preforkpop.maildrop.maildir.folder import Stamp, Stamps
from preforkpop.maildrop.maildir.index import DamagedError, Index, Table

STAMPS = Stamps(Stamp(1, 2, -3, 4), Stamp(5, 6, 7, 8))


def table(count: int) -> Table:
    made = Table.empty()
    for row in range(count):
        made.add(b"n%d.host" % row, 100 + row, -row, 110 + row, row % 2)
    return made


def index(count: int) -> Index:
    return Index.make(STAMPS, True, table(count), [b"id%d" % row for row in range(count)])


def told(one: Index) -> list[object]:
    rows = one.table()
    return [
        one.stamps,
        one.settled,
        one.count,
        one.octets,
        one.scan_listings(),
        one.unique_id_listings(),
        rows.names,
        rows.sizes,
        rows.modified,
        rows.octets,
        rows.exact,
    ]


@pytest.mark.parametrize("count", [0, 1, 3, 5000])
def test_what_is_written_is_read(tmp_path: Path, count: int) -> None:
    path = tmp_path / "index"
    made = index(count)
    path.write_bytes(made.data)
    loaded = Index.load(str(path))
    assert loaded is not None
    assert told(loaded) == told(made)
    assert loaded.table().sizes == array("q", range(100, 100 + count))
    loaded.close()


def test_listings_are_ready_to_be_sent() -> None:
    made = index(2)
    assert made.scan_listings() == b"1 110\r\n2 111\r\n"
    assert made.unique_id_listings() == b"1 id0\r\n2 id1\r\n"
    assert (made.count, made.octets) == (2, 221)


@pytest.mark.parametrize("kind", ["missing", "symlink", "directory", "fifo", "empty", "foreign"])
def test_what_is_no_index_is_none(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "index"
    if kind == "symlink":
        (tmp_path / "real").write_bytes(index(1).data)
        path.symlink_to(tmp_path / "real")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "empty":
        path.touch()
    elif kind == "foreign":
        path.write_bytes(b"\0" * 100000)
    assert Index.load(str(path)) is None


@pytest.mark.parametrize("change", [-1, 1])
def test_a_large_index_of_another_length_is_none(tmp_path: Path, change: int) -> None:
    data = index(5000).data
    (tmp_path / "index").write_bytes(data[:change] if change < 0 else data + b"x")
    assert Index.load(str(tmp_path / "index")) is None


def test_a_place_outside_the_maildir_is_not_believed() -> None:
    rows = table(1)
    rows.names[0] = b"../../etc/passwd"
    with pytest.raises(DamagedError):
        Index.make(STAMPS, True, rows, [b"id"]).table()


@given(data=st.data())
@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damage_is_noticed_before_anything_is_believed(tmp_path: Path, data: st.DataObject) -> None:
    made = index(40)
    octets = bytearray(made.data)
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(octets) - 1))
        octets[place] ^= data.draw(st.integers(1, 255))
    else:
        del octets[data.draw(st.integers(0, len(octets) - 1)) :]
    path = tmp_path / "index"
    path.write_bytes(octets)
    loaded = Index.load(str(path))
    if loaded is None:
        return
    with pytest.raises(DamagedError):
        told(loaded)
    for read, right in (
        (Index.scan_listings, made.scan_listings()),
        (Index.unique_id_listings, made.unique_id_listings()),
    ):
        try:
            assert read(loaded) == right
        except DamagedError:
            continue
