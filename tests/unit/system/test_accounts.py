"""Accounts that the configuration names (the mail accounts are tested where auth uses them)."""

from __future__ import annotations

import os
import pwd

import pytest

from preforkpop.system import accounts


@pytest.mark.root
def test_the_login_user_is_nobody_when_the_configured_account_does_not_exist() -> None:
    nobody = pwd.getpwnam("nobody")
    assert accounts.login_user("no-such-user-here") == (nobody.pw_uid, nobody.pw_gid)


@pytest.mark.root
def test_the_login_user_is_never_root() -> None:
    with pytest.raises(accounts.SetupError, match=r"^service\.login_user: "):
        accounts.login_user("root")


def test_who_is_not_root_stays_who_he_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr(os, "getegid", lambda: 4712)
    assert accounts.login_user("daemon") == (4711, 4712)
