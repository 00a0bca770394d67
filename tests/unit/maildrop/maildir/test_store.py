"""A Maildir as a maildrop: listings, reading, removal, and other programs at work meanwhile."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preforkpop.maildrop.base import MaildropError
from preforkpop.maildrop.maildir.folder import Folder
from preforkpop.maildrop.maildir.scan import CHUNK
from preforkpop.maildrop.maildir.store import Maildir
from tests.unit.maildrop.maildir.conftest import Box, contents, ids, transmitted

LARGE = b"Subject: large\n\n" + (b"y" * 71 + b"\n") * (CHUNK // 72 + 10)


def refusal(maildrop: Maildir, number: int) -> MaildropError:
    with pytest.raises(MaildropError) as caught:
        list(maildrop.chunks(number))
    return caught.value


def scan(maildrop: Maildir) -> list[bytes]:
    return maildrop.scan_listings().split(b"\r\n")[:-1]


# -- listings ---------------------------------------------------------------------------------


def test_messages_of_new_and_cur_are_listed_in_the_order_of_delivery(box: Box) -> None:
    box.add("new/1000000003.1.host", b"three\n")
    box.add("cur/1000000001.1.host:2,S", b"one\n")
    box.add("cur/999999999.9.host:2,", b"zero\n")
    box.add("new/1000000001.2.host", b"two\n")
    maildrop = box.open()
    assert contents(maildrop) == [b"zero\n", b"one\n", b"two\n", b"three\n"]
    assert ids(maildrop) == [
        b"999999999.9.host",
        b"1000000001.1.host",
        b"1000000001.2.host",
        b"1000000003.1.host",
    ]
    assert maildrop.unique_id_listings().startswith(b"1 999999999.9.host\r\n2 ")
    assert maildrop.scan_listings() == b"1 6\r\n2 5\r\n3 5\r\n4 7\r\n"
    assert (maildrop.count, maildrop.octets, maildrop.size(4)) == (4, 23, 7)
    assert maildrop.notes == []


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_no_mail_is_an_empty_maildrop(box: Box, kind: str) -> None:
    if kind == "missing":
        for name in ("new", "cur", "tmp"):
            (box.path / name).rmdir()
        box.path.rmdir()
    maildrop = box.open()
    assert (maildrop.count, maildrop.octets) == (0, 0)
    assert maildrop.scan_listings() == maildrop.unique_id_listings() == b""
    maildrop.update(frozenset())
    box.close()
    assert box.path.exists() == (kind == "empty"), "nothing is made for who has no mail yet"


def test_opening_and_quitting_changes_nothing(box: Box) -> None:
    box.add("new/1.1.host")
    box.add("cur/2.1.host:2,F")
    box.add("tmp/3.1.host")
    before = (box.files(), os.stat(box.path / "new"), os.stat(box.path / "cur"))
    maildrop = box.open()
    maildrop.scan_listings()
    maildrop.update(frozenset())
    box.close()
    assert (box.files(), os.stat(box.path / "new"), os.stat(box.path / "cur")) == before
    assert (box.path / "tmp" / "3.1.host").exists()


def test_what_is_no_message_is_left_out_and_told(box: Box, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not yours\n")
    box.add("new/1.1.host", b"mail\n")
    (box.path / "new" / "2.1.link").symlink_to(secret)
    (box.path / "cur" / "3.1.directory").mkdir()
    os.mkfifo(box.path / "cur" / "4.1.fifo")
    box.add("cur/.hidden")
    maildrop = box.open()
    assert contents(maildrop) == [b"mail\n"]
    assert len(maildrop.notes) == 1
    assert "3 entries such as new/2.1.link are not files" in maildrop.notes[0]


def test_a_name_from_outside_cannot_break_a_log_line(box: Box) -> None:
    (box.path / "new" / "1.1.\n\x1b[2J").mkdir()
    (note,) = box.open().notes
    assert note.isprintable()


def test_names_that_are_no_text_work(box: Box) -> None:
    path = os.path.join(os.fsencode(box.path), b"new", b"1.1.\xff\xfe host")
    with open(path, "wb") as file:
        file.write(b"mail\n")
    maildrop = box.open()
    assert contents(maildrop) == [b"mail\n"]
    assert maildrop.unique_id(1).isalnum()
    maildrop.update(frozenset({1}))
    assert box.files() == []


def test_one_file_under_two_names_is_one_message(box: Box) -> None:
    """A program that moves with link(2) and unlink(2) was killed between the two."""
    path = box.add("new/1.1.host", b"mail\n")
    os.link(path, box.path / "cur" / "1.1.host:2,S")
    assert contents(box.open()) == [b"mail\n"]


def test_two_files_with_one_name_are_two_messages(box: Box) -> None:
    box.add("new/1.1.host", b"one\n")
    box.add("cur/1.1.host:2,S", b"other\n")
    maildrop = box.open()
    assert sorted(contents(maildrop)) == [b"one\n", b"other\n"]
    assert len(set(ids(maildrop))) == 2


# -- octets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"no line end",
        b"a\nb\n",
        b"a\r\nb\r\n",
        b"a\rb\n\r",
        b".\n..\n",
        b"\0\xff\n",
        LARGE,
        LARGE + b"tail",
        b"x" * (2 * CHUNK + 1),
    ],
)
def test_octets_are_those_of_the_message_as_transmitted(box: Box, content: bytes) -> None:
    box.add("new/1.1.host", content)
    maildrop = box.open()
    assert maildrop.size(1) == maildrop.octets == transmitted(content)
    assert contents(maildrop) == [content]
    assert all(len(piece) <= CHUNK for piece in maildrop.chunks(1))


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"."]), max_size=30).map(b"".join))
@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_octets_are_right_whatever_the_line_ends(box: Box, content: bytes) -> None:
    box.add("new/1.1.host", content)
    box.index.unlink(missing_ok=True)
    maildrop = box.open()
    assert maildrop.octets == transmitted(content)
    box.close()


@pytest.mark.parametrize("stated", [0, 1, 19, 20, 21, 38, 99, 10**15])
def test_a_wrong_size_in_a_name_is_never_believed_of_a_small_message(box: Box, stated: int) -> None:
    content = b"Subject: x\n\n12345678"
    box.add(f"new/1.1.host,S={len(content)},W={stated}", content)
    box.add("new/1.2.host,S=7", content)
    maildrop = box.open()
    assert scan(maildrop) == [b"1 24", b"2 24"]
    assert contents(maildrop) == [content, content]


def test_a_stated_size_saves_reading_a_large_message(box: Box) -> None:
    octets = transmitted(LARGE)
    path = box.add(f"new/1.1.host,S={len(LARGE)},W={octets}", LARGE)
    maildrop = box.open()
    assert maildrop.octets == octets
    assert contents(maildrop) == [LARGE]
    box.close()
    assert box.files() == [f"new/{path.name}"]


@pytest.mark.parametrize(
    "content", [LARGE[:-1], LARGE.replace(b"\n", b"\r\n"), b"z" * 2 * CHUNK + b"\r\n"]
)
def test_a_stated_size_is_not_believed_of_other_line_ends(box: Box, content: bytes) -> None:
    box.add(f"new/1.1.host,S={len(content)},W={len(content) + 9}", content)
    assert box.open().octets == transmitted(content)


def test_a_wrong_stated_size_is_found_before_sending_and_right_in_the_next_session(
    box: Box,
) -> None:
    stated = transmitted(LARGE) - 1
    box.add(f"new/1.1.host,S={len(LARGE)},W={stated}", LARGE)
    box.add("new/1.2.host", b"mail\n")
    maildrop = box.open()
    assert scan(maildrop) == [b"1 %d" % stated, b"2 6"], "one wrong size fails no listing"
    for _ in range(2):
        error = refusal(maildrop, 1)
        assert error.code == "SYS/TEMP"
        assert "wrong size" in error.detail
    assert scan(maildrop) == [b"1 %d" % stated, b"2 6"]
    assert maildrop.size(1) == stated
    for _ in range(2):
        maildrop = box.open()
        assert scan(maildrop) == [b"1 %d" % transmitted(LARGE), b"2 6"]
        assert contents(maildrop) == [LARGE, b"mail\n"]


# -- other programs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moved", ["cur/1.1.host:2,", "cur/1.1.host:2,FS", "new/1.1.host:2,S", "cur/1.1.host,S=5:2,S"]
)
def test_a_message_that_another_program_moved_or_flagged_is_found(box: Box, moved: str) -> None:
    path = box.add("new/1.1.host", b"mail\n")
    box.add("new/1.2.host", b"other\n")
    maildrop = box.open()
    path.rename(box.path / moved)
    assert contents(maildrop) == [b"mail\n", b"other\n"]
    (box.path / moved).rename(box.path / "cur/1.1.host:2,RS")
    maildrop.update(frozenset({1}))
    assert [name.split(":")[0] for name in box.files()] == ["cur/1.2.host"]
    assert ids(box.open()) == [b"1.2.host"]


def test_a_moved_message_keeps_its_unique_id(box: Box) -> None:
    path = box.add("new/1.1.host")
    before = ids(box.open())
    path.rename(box.path / "cur" / "1.1.host:2,S")
    assert ids(box.open()) == before


def test_deliveries_during_the_session_wait_for_the_next(box: Box) -> None:
    box.add("new/5.1.host", b"mail\n")
    maildrop = box.open()
    box.add("new/4.1.host", b"late\n")
    assert contents(maildrop) == [b"mail\n"]
    maildrop.update(frozenset({1}))
    assert contents(box.open()) == [b"late\n"]


def test_a_message_that_another_program_removed_is_gone_and_counts_as_removed(box: Box) -> None:
    path = box.add("new/1.1.host")
    box.add("new/1.2.host", b"other\n")
    maildrop = box.open()
    path.unlink()
    error = refusal(maildrop, 1)
    assert error.code == "SYS/TEMP"
    assert "removed" in error.text
    assert b"".join(maildrop.chunks(2)) == b"other\n"
    maildrop.update(frozenset({1, 2}))
    assert box.files() == []


def test_a_copy_with_another_size_in_its_name_is_not_taken_for_a_removed_message(box: Box) -> None:
    path = box.add("new/1.1.host,S=5", b"mail\n")
    box.add("new/1.1.host,S=7", b"other.\n")
    maildrop = box.open()
    assert maildrop.count == 2
    path.unlink()
    (box.path / "new/1.1.host,S=7").rename(box.path / "cur/1.1.host,S=7:2,S")
    refusal(maildrop, 1)
    maildrop.update(frozenset({1}))
    assert box.files() == ["cur/1.1.host,S=7:2,S"]


@pytest.mark.parametrize(
    "change", [b"much longer than it was\n", b"short", b"", b"one\ntwo\n", b"Subject: x  body\n"]
)
def test_a_message_that_was_changed_in_place_is_not_sent(box: Box, change: bytes) -> None:
    original = b"Subject: x\n\nbody\n"
    path = box.add("new/1.1.host", original)
    maildrop = box.open()
    with path.open("r+b") as file:
        file.truncate()
        file.write(change)
    os.utime(path, (5, 5))
    assert refusal(maildrop, 1).code == "SYS/TEMP"
    assert refusal(maildrop, 1).code == "SYS/TEMP"
    assert maildrop.size(1) == transmitted(original)
    maildrop = box.open()
    assert maildrop.size(1) == maildrop.octets == transmitted(change)
    assert contents(maildrop) == [change]


def test_a_message_that_was_only_touched_is_sent(box: Box) -> None:
    path = box.add("new/1.1.host", b"mail\n")
    maildrop = box.open()
    os.utime(path, (5, 5))
    assert contents(maildrop) == [b"mail\n"]


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory"])
def test_what_takes_the_place_of_a_message_is_not_followed(
    box: Box, tmp_path: Path, kind: str
) -> None:
    path = box.add("new/1.1.host", b"mail\n")
    maildrop = box.open()
    path.unlink()
    if kind == "symlink":
        (tmp_path / "secret").write_bytes(b"mail\n")
        path.symlink_to(tmp_path / "secret")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    error = refusal(maildrop, 1)
    assert error.code == "SYS/PERM"
    assert "new/1.1.host" in error.detail


def test_a_maildir_that_is_replaced_during_the_session_is_noticed(box: Box) -> None:
    box.add("cur/1.1.host", b"mail\n")
    maildrop = box.open()
    (box.path / "cur").rename(box.path / "old")
    (box.path / "cur").mkdir()
    box.add("cur/1.1.host", b"else\n")
    assert refusal(maildrop, 1).code == "SYS/TEMP"
    with pytest.raises(MaildropError):
        maildrop.update(frozenset({1}))
    assert box.files() == ["cur/1.1.host"]


class Unreadable:
    """Makes some message files unreadable, also for root."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: set[bytes] = set()
        real = Folder.open

        def refuse(folder: Folder, where: bytes, name: bytes) -> tuple[int, os.stat_result]:
            if name in self.names:
                raise PermissionError(13, "Permission denied")
            return real(folder, where, name)

        monkeypatch.setattr(Folder, "open", refuse)


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Unreadable:
    return Unreadable(monkeypatch)


def test_a_message_that_cannot_be_read_fails_alone(box: Box, unreadable: Unreadable) -> None:
    box.add("new/1.1.host", b"mail\n")
    box.add("new/1.2.host", b"a\nb\n")
    unreadable.names.add(b"1.2.host")
    maildrop = box.open()
    assert maildrop.count == len(scan(maildrop)) == len(ids(maildrop)) == 2
    assert "1 entries such as new/1.2.host cannot be read" in maildrop.notes[0]
    assert b"".join(maildrop.chunks(1)) == b"mail\n"
    error = refusal(maildrop, 2)
    assert error.code == "SYS/PERM"
    assert f"{box.path}/new/1.2.host" in error.detail
    unreadable.names.clear()
    refusal(box.open(), 2)
    maildrop = box.open()
    assert maildrop.size(2) == 6
    assert b"".join(maildrop.chunks(2)) == b"a\nb\n"


# -- UPDATE -----------------------------------------------------------------------------------


def test_deleted_messages_are_removed_at_update_and_others_are_not(box: Box) -> None:
    for number in range(1, 6):
        box.add(f"{'new' if number % 2 else 'cur'}/{number}.1.host", b"%d\n" % number)
    maildrop = box.open()
    maildrop.update(frozenset({2, 3}))
    assert contents(box.open()) == [b"1\n", b"4\n", b"5\n"]
    assert ids(box.open()) == [b"1.1.host", b"4.1.host", b"5.1.host"]


def test_without_update_nothing_is_removed(box: Box) -> None:
    box.add("new/1.1.host")
    contents(box.open())
    box.close()
    assert box.files() == ["new/1.1.host"]


def test_what_was_read_to_its_end_moves_to_cur_and_is_seen(box: Box) -> None:
    box.add("new/1.1.host", b"read\n")
    box.add("new/2.1.host", b"not read\n")
    box.add("new/3.1.host", LARGE)
    box.add("cur/4.1.host:2,F", b"in cur\n")
    box.add("new/5.1.host:2,F", b"flagged\n")
    maildrop = box.open()
    for number in (1, 4, 5):
        list(maildrop.chunks(number))
    begun = maildrop.chunks(3)
    next(begun)
    maildrop.update(frozenset())
    box.close()
    assert box.files() == [
        "cur/1.1.host:2,S",
        "cur/4.1.host:2,F",
        "cur/5.1.host:2,FS",
        "new/2.1.host",
        "new/3.1.host",
    ]
    assert ids(box.open())[0] == b"1.1.host"


def test_moving_to_cur_never_overwrites(box: Box) -> None:
    box.add("new/1.1.host", b"mail\n")
    maildrop = box.open()
    contents(maildrop)
    box.add("cur/1.1.host:2,S", b"other\n")
    maildrop.update(frozenset())
    assert (box.path / "new/1.1.host").read_bytes() == b"mail\n"
    assert (box.path / "cur/1.1.host:2,S").read_bytes() == b"other\n"


def test_moving_what_another_program_has_moved_is_no_fault(box: Box) -> None:
    path = box.add("new/1.1.host", b"mail\n")
    maildrop = box.open()
    contents(maildrop)
    path.rename(box.path / "cur/1.1.host:2,R")
    maildrop.update(frozenset())
    assert box.files() == ["cur/1.1.host:2,R"]
    assert maildrop.notes == []


def test_a_failing_move_is_told_and_fails_no_session(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.add("new/1.1.host", b"mail\n")
    maildrop = box.open()
    contents(maildrop)

    def fail(*_: object, **__: object) -> None:
        raise OSError(122, "Disk quota exceeded")

    monkeypatch.setattr(os, "rename", fail)
    maildrop.update(frozenset())
    assert "Disk quota exceeded" in maildrop.notes[0]
    assert box.files() == ["new/1.1.host"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(PermissionError(13, "Permission denied"), "SYS/PERM"), (OSError(5, "I/O"), "SYS/TEMP")],
)
def test_messages_that_cannot_be_removed_are_counted(
    box: Box, monkeypatch: pytest.MonkeyPatch, error: OSError, code: str
) -> None:
    for number in range(1, 5):
        box.add(f"new/{number}.1.host")
    maildrop = box.open()
    real = Folder.unlink

    def fail(folder: Folder, where: bytes, name: bytes) -> None:
        if name.startswith((b"2", b"3")):
            raise error
        real(folder, where, name)

    monkeypatch.setattr(Folder, "unlink", fail)
    with pytest.raises(MaildropError) as caught:
        maildrop.update(frozenset({1, 2, 3}))
    assert (caught.value.code, caught.value.text) == (code, "2 of 3 are still there")
    assert str(box.path) in caught.value.detail
    assert box.files() == ["new/2.1.host", "new/3.1.host", "new/4.1.host"]


@pytest.mark.parametrize("calls", range(6))
def test_a_session_killed_within_the_update_loses_nothing_else(
    box: Box, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    for number in range(1, 7):
        box.add(f"new/{number}.1.host", b"%d\n" % number)
    child = os.fork()
    if child == 0:
        left = calls

        def count(real: Any, *arguments: Any, **named: Any) -> Any:
            nonlocal left
            if not left:
                os._exit(0)
            left -= 1
            return real(*arguments, **named)

        for name in ("unlink", "rename", "fsync"):
            monkeypatch.setattr(os, name, partial(count, getattr(os, name)))
        maildrop = box.open()
        list(maildrop.chunks(5))
        maildrop.update(frozenset({1, 2, 3}))
        os._exit(1)
    os.waitpid(child, 0)
    served = contents(box.open())
    assert set(served) >= {b"4\n", b"5\n", b"6\n"}
    assert len(served) == len(set(served)) >= 3
    box.open().update(frozenset(range(1, len(served) + 1)))
    assert box.files() == []
    box.close()
    assert sorted(entry.name for entry in box.state.iterdir()) == ["maildir.index", "session"]


def test_progress_is_told_while_opening_and_removing(box: Box) -> None:
    for number in range(1, 26):
        box.add(f"new/{number}.1.host")
    maildrop = box.open()
    assert box.progress == 2
    maildrop.update(frozenset(range(1, 26)))
    assert box.progress == 4


def test_closing_gives_everything_back(box: Box) -> None:
    box.add("new/1.1.host")
    before = os.listdir("/proc/self/fd")
    for _ in range(2):
        maildrop = box.open()
        contents(maildrop)
        list(zip(maildrop.chunks(1), range(1), strict=False))
        maildrop.close()
        maildrop.close()
    assert os.listdir("/proc/self/fd") == before
