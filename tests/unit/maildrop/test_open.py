"""Opening takes the session lock first, and gives it back when there is nothing to hold it for."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from preforkpop.maildrop.base import MaildropError, Place
from preforkpop.maildrop.open import open_maildrop, prepare, repair_maildrop

MESSAGE = b"Subject: x\n\nbody\n"


@pytest.fixture
def mbox(tmp_path: Path) -> Place:
    (tmp_path / "state").mkdir(mode=0o700)
    spool = tmp_path / "fred"
    spool.write_bytes(b"From a@example.org Mon Nov 24 21:51:00 2025\n" + MESSAGE + b"\n")
    spool.chmod(0o600)
    return Place("mbox", str(spool), str(tmp_path / "state"), os.geteuid(), peer="192.0.2.7")


@pytest.fixture
def maildir(tmp_path: Path) -> Place:
    (tmp_path / "state").mkdir(mode=0o700)
    for name in ("new", "cur", "tmp"):
        (tmp_path / "Maildir" / name).mkdir(parents=True)
    (tmp_path / "Maildir" / "new" / "1.1.host").write_bytes(MESSAGE)
    path, state = str(tmp_path / "Maildir"), str(tmp_path / "state")
    return Place("maildir", path, state, os.geteuid(), peer="192.0.2.7")


@pytest.fixture(params=["mbox", "maildir"])
def place(request: pytest.FixtureRequest) -> Place:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Place)
    return made


def test_each_format_has_its_store(place: Place) -> None:
    prepare(place.format)
    maildrop = open_maildrop(place)
    assert (maildrop.count, maildrop.octets) == (1, len(MESSAGE) + MESSAGE.count(b"\n"))
    assert b"".join(maildrop.chunks(1)) == MESSAGE
    maildrop.close()


def test_a_second_session_is_turned_away_until_the_first_has_closed(place: Place) -> None:
    maildrop = open_maildrop(place)
    with pytest.raises(MaildropError) as caught:
        open_maildrop(place)
    assert caught.value.code == "IN-USE"
    assert "192.0.2.7" in caught.value.text
    maildrop.close()
    open_maildrop(place).close()


def test_a_repair_with_nothing_to_do_is_in_nobodys_way(place: Place) -> None:
    maildrop = open_maildrop(place)
    assert repair_maildrop(place) == []
    maildrop.close()


def test_a_failure_gives_the_lock_back(place: Place) -> None:
    for _ in range(2):
        with pytest.raises(MaildropError) as caught:
            open_maildrop(replace(place, owner=place.owner + 1))
        assert caught.value.code != "IN-USE"
    open_maildrop(place).close()
