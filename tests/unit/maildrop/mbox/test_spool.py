"""The spool file. What may be opened is shown in test_mailbox."""

from __future__ import annotations

import errno
import os

import pytest

from preforkpop.maildrop.mbox.spool import Spool, unwritable
from tests.unit.maildrop.mbox.conftest import STORED
from tests.unit.maildrop.mbox.helpers import Box, join


def test_a_read_that_is_cut_short_goes_on(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(box.place())
    pread = os.pread
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", lambda one, size, at: pread(one, min(size, 7), at))
        assert spool.read(3, 100) == join(STORED)[3:103]
        assert spool.read(3, 10_000) == join(STORED)[3:]
    spool.close()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the quota is used up"),
        (errno.EIO, "the maildrop cannot be changed"),
    ],
)
def test_a_client_is_told_why_and_the_log_where(number: int, text: str) -> None:
    error = unwritable(
        "/var/mail/fred", OSError(number, os.strerror(number)), "nothing was removed"
    )
    assert error.code == "SYS/TEMP"
    assert error.text == text
    assert "/var/mail/fred" in error.detail
    assert os.strerror(number) in error.detail
    assert "nothing was removed" in error.detail
