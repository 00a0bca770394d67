"""A power cut at any moment of an update, and then of the recovery.

An update is recorded; for every moment of it the states are made that a disk may be in when the
power fails there (``disk``), perhaps a delivery agent adds mail to what it finds, and a session is
opened on each. There must be all the old mail or all the new mail, no more and no less, under the
unique-ids it had.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from preforkpop.maildrop.mbox import journal
from preforkpop.maildrop.mbox import update as update_module
from tests.faults.disk import Moment, Recorder, State, states
from tests.unit.maildrop.mbox.helpers import FROM, Box, join, message

CAMPAIGN = bool(os.environ.get("PREFORKPOP_CAMPAIGN"))
TURNS = 8 if CAMPAIGN else 1
AGAIN = 3 if CAMPAIGN else 1  # moments of each recovery that are tried

DELETED = [{1}, {7}, {2, 4}, {1, 2, 3, 4, 5, 6, 7}, {1, 3, 5}, {6, 7}]
if CAMPAIGN:
    DELETED += [{3}, {4, 5}, {2, 3, 4, 5, 6}, {1, 2, 7}, {1, 7}, {2, 4, 6}]

COPY = message(3, b"the same\n")
STORED = [message(1), message(2), COPY, message(4, b"longer\n" * 30), COPY, message(6), COPY]


def setup(box: Box, stored: list[bytes]) -> list[bytes]:
    box.write(join(stored))
    return box.unique_ids()


def record(box: Box, what: Callable[[], object]) -> list[Moment]:
    recorder = Recorder(box.path, box.state)
    recorder.moment()
    with pytest.MonkeyPatch.context() as patch:
        recorder.watch(patch)
        what()
    return recorder.moments


def put(box: Box, state: State) -> None:
    """Put the disk into a state; the spool keeps its inode."""
    box.path.write_bytes(state.spool)
    for name, octets in (("journal", state.journal), ("index", state.index)):
        path = box.state / name
        path.unlink(missing_ok=True)
        if octets is not None:
            path.write_bytes(octets)


class Expected:
    """What may be there: the old mail or the new, with what was added behind it."""

    def __init__(self, stored: list[bytes], ids: list[bytes], deleted: set[int]) -> None:
        kept = [number for number in range(1, len(stored) + 1) if number not in deleted]
        self.old = stored, ids
        self.new = [stored[one - 1] for one in kept], [ids[one - 1] for one in kept]

    def check(self, box: Box, added: list[bytes]) -> None:
        octets = box.read_after_login()
        for stored, ids in (self.old, self.new):
            if octets == join([*stored, *added]):
                found = box.unique_ids()
                assert found[: len(ids)] == ids
                assert len(set(found)) == len(found)
                assert box.contents() == [*stored, *added]
                self.check_ids_of(added, found[len(ids) :])
                break
        else:
            pytest.fail(f"neither old nor new: {octets!r}")
        assert box.left_over() == []

    def check_ids_of(self, added: list[bytes], ids: list[bytes]) -> None:
        """Assert that no other message had the ids of what was added."""
        had = dict(zip(self.old[1], self.old[0], strict=True))
        for stored, one in zip(added, ids, strict=True):
            assert had.get(one, stored) == stored


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is durable is decided by ``disk``."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: None)


@pytest.mark.parametrize("deleted", DELETED)
@pytest.mark.parametrize("window", [150, 1 << 24])
@pytest.mark.parametrize("mail", ["none", "other", "copy of the last", "as long as what is cut"])
def test_old_mail_or_new_mail(
    quick_path: Path, monkeypatch: pytest.MonkeyPatch, window: int, mail: str, deleted: set[int]
) -> None:
    monkeypatch.setattr(journal, "WINDOW", window)
    monkeypatch.setattr(update_module, "PIECE", 100)
    box = Box(quick_path)
    ids = setup(box, STORED)
    cut = sum(len(join([STORED[number - 1]])) for number in deleted)
    added = {
        "none": [],
        "other": [message(9)],
        "copy of the last": [STORED[-1]],
        "as long as what is cut": [
            message(9, b"x" * (cut - len(join([message(9, b"\n")]))) + b"\n")
        ],
    }[mail]
    expected = Expected(STORED, ids, deleted)

    def session() -> None:
        with box.session() as maildrop:
            maildrop.update(frozenset(deleted))

    choose = random.Random(f"{window} {mail} {sorted(deleted)}")
    for moment in record(box, session):
        for state in states(moment, choose, TURNS):
            put(box, state)
            box.deliver(*added)
            if not added or choose.random() < 0.5:
                before = State(box.read(), state.journal, state.index)
                during = record(box, box.unique_ids)
                expected.check(box, added)
                for second in choose.sample(during, min(AGAIN, len(during))):
                    put(box, before)
                    for again in states(second, choose, 1):
                        put(box, again)
                        expected.check(box, added)
            else:
                expected.check(box, added)


def test_a_mail_that_looks_like_what_is_being_cut_is_kept(quick_path: Path) -> None:
    """Two copies, the first is removed; when it is cut, another copy comes: P K N is P K rest."""
    box = Box(quick_path)
    ids = setup(box, [COPY, COPY])
    expected = Expected([COPY, COPY], ids, {1})

    def session() -> None:
        with box.session() as maildrop:
            maildrop.update(frozenset({1}))

    moments = record(box, session)
    cut_while_journal_is_there = 0
    for moment in moments:
        for state in states(moment, random.Random(1), 0):
            put(box, state)
            box.deliver(COPY)
            cut_while_journal_is_there += bool(state.journal) and len(state.spool) == len(
                join([COPY])
            )
            expected.check(box, [COPY])
    assert cut_while_journal_is_there >= 2
    assert FROM in box.read()
