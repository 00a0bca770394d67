"""The windows of a journal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from preforkpop.maildrop.mbox import journal as journal_module
from preforkpop.maildrop.mbox import mark
from preforkpop.maildrop.mbox.journal import Journal, write
from preforkpop.maildrop.mbox.plan import TOKEN, DamagedJournal, Plan, Range

MOVED = bytes(range(250)) * 4


def plan(length: int = len(MOVED)) -> Plan:
    return Plan(1, 100, 5000, (Range(200, length),), b"t" * TOKEN, 1, 2, b"index")


def pieces(span: Range) -> Iterator[bytes]:
    octets = MOVED[span.offset : span.end]
    for first in range(0, len(octets), 64):
        yield octets[first : first + 64]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(journal_module, "WINDOW", 300)
    return str(tmp_path)


def content(journal: Journal, window: int) -> bytes:
    return b"".join(journal.octets(window))


def test_the_first_two_windows_are_in_it_from_the_start(state: str) -> None:
    Journal.commit(state, plan(), pieces).close()
    journal = Journal(state)
    assert journal.plan == plan()
    assert journal.windows == 4
    assert journal.logged() == [0, 1]
    assert content(journal, 0) == MOVED[:300]
    assert content(journal, 1) == MOVED[300:600]
    assert not journal.is_cutting()
    journal.close()
    journal.close()


@pytest.mark.parametrize(("length", "windows"), [(1, 1), (300, 1), (301, 2), (600, 2), (601, 3)])
def test_as_many_windows_as_it_takes(state: str, length: int, windows: int) -> None:
    journal = Journal.commit(state, plan(length), pieces)
    assert journal.windows == windows
    spans = [journal.span(window) for window in range(windows)]
    assert [span.offset for span in spans[1:]] == [span.end for span in spans[:-1]]
    assert (spans[0].offset, spans[-1].end) == (0, length)
    assert journal.logged() == list(range(min(windows, 2)))
    for window in journal.logged():
        assert content(journal, window) == MOVED[spans[window].offset : spans[window].end]
    journal.close()


def test_windows_take_turns(state: str) -> None:
    journal = Journal.commit(state, plan(), pieces)
    size = Path(state, mark.NAME).stat().st_size
    journal.log(2, pieces(journal.span(2)))
    assert journal.logged() == [1, 2]
    journal.log(3, pieces(journal.span(3)))
    assert journal.logged() == [2, 3]
    assert content(journal, 3) == MOVED[900:]
    assert Path(state, mark.NAME).stat().st_size == size
    journal.close()


def test_a_window_that_was_not_written_whole_does_not_count(state: str) -> None:
    journal = Journal.commit(state, plan(), pieces)

    def breaking(span: Range) -> Iterator[bytes]:
        yield next(pieces(span))
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input"):
        journal.log(2, breaking(journal.span(2)))
    assert journal.logged() == [1]
    journal.close()


def test_the_windows_of_another_update_do_not_count(state: str) -> None:
    """Octets of an older journal may lie where the new one will write."""
    journal = Journal.commit(state, plan(), pieces)
    path = Path(state, mark.NAME)
    old = path.read_bytes()
    other = Plan(1, 100, 5000, (Range(200, len(MOVED)),), b"u" * TOKEN, 1, 2, b"index")
    journal.close()
    journal = Journal.commit(state, other, pieces)
    new = path.read_bytes()
    begin = len(new) - 2 * (300 + 40)
    path.write_bytes(new[:begin] + old[begin:])
    journal.close()
    journal = Journal(state)
    assert journal.plan == other
    assert journal.logged() == []
    journal.close()


def test_cutting(state: str) -> None:
    journal = Journal.commit(state, plan(), pieces)
    journal.begin_cutting()
    assert journal.is_cutting()
    journal.close()
    again = Journal(state)
    assert again.is_cutting()
    assert again.logged() == [0, 1]
    again.close()


def test_discarding_leaves_a_mark(state: str) -> None:
    journal = Journal.commit(state, plan(), pieces)
    assert mark.is_journal(state)
    journal.discard()
    assert mark.found(state)
    assert not mark.is_journal(state)
    journal.close()


def test_no_journal(state: str) -> None:
    with pytest.raises(FileNotFoundError):
        Journal(state)
    mark.make(state, [])
    with pytest.raises(DamagedJournal):
        Journal(state)


def test_a_write_that_is_cut_short_goes_on(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(state, "file")
    path.write_bytes(b"0123456789")
    descriptor = os.open(path, os.O_RDWR)
    pwrite = os.pwrite
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda one, octets, at: pwrite(one, octets[:2], at))
        write(descriptor, b"abcde", 3)
    os.close(descriptor)
    assert path.read_bytes() == b"012abcde89"
