"""Names, paths and ids."""

from __future__ import annotations

import grp
import os
import pwd
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.auth import identity
from preforkpop.auth.credentials import Authenticated, Refusal, SetupError
from preforkpop.auth.identity import Account, Accounts, PathError, expand, user_name

MAIL = pwd.getpwnam("mail")


def service(**changes: str) -> Any:
    values = {"users": "system", "mail_user": "", "mail_group": "mail"}
    return SimpleNamespace(**(values | changes))


def name(octets: bytes, downcase: bool = False, trim_domain: bool = False) -> str | None:
    return user_name(octets, downcase=downcase, trim_domain=trim_domain)


# -- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets",
    [
        b"fred",
        b"a",
        b"joe@example.org",
        b"a b",
        b"a.b",
        b"a..b",
        b"50%",
        b"jo\xc3\xab",
        b"a@b@c",
        b"x" * 240,
    ],
)
def test_names_that_can_exist(octets: bytes) -> None:
    assert name(octets) == octets.decode()


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b".",
        b"..",
        b"../root",
        b"a/b",
        b"/",
        b"-rf",
        b".hidden",
        b"a\0b",
        b"a\nb",
        b"a\tb",
        b"a\x7fb",
        b"a\xc2\x85b",
        b"\xff",
        b"jo\xeb",
        b"x" * 241,
        b"joe@",
        b"@example.org",
        b"joe@..",
        b"joe@.org",
        b"joe@-x",
        b"joe@@x",
        b"joe@../x",
    ],
)
def test_names_that_cannot_exist(octets: bytes) -> None:
    assert name(octets) is None


def test_case_and_domain_are_left_alone_unless_configured() -> None:
    assert name(b"Fred@Example.ORG") == "Fred@Example.ORG"
    assert name(b"Fred@Example.ORG", downcase=True) == "fred@example.org"
    assert name(b"Fred@Example.ORG", trim_domain=True) == "Fred"
    assert name(b"Fred@a@b", downcase=True, trim_domain=True) == "fred"
    assert name(b"@a", trim_domain=True) is None


def test_only_ascii_is_folded() -> None:
    assert name("ÄB".encode(), downcase=True) == "Äb"


# -- paths ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "letter"),
    [("a", "t"), ("ab", "n"), ("maida", "o"), ("root", "k"), ("postmaster", "r")],
)
def test_hash1_is_qpoppers(user: str, letter: str) -> None:
    assert identity.hash1(user) == letter


@pytest.mark.parametrize(("user", "path"), [("maida", "m/a"), ("x", "x/x")])
def test_hash2_is_qpoppers(user: str, path: str) -> None:
    assert identity.hash2(user) == path


def test_every_placeholder() -> None:
    template = "/{domain}/{name}/{user}/{hash1}/{hash2}/x{home}/y"
    assert (
        expand(template, "maida@b.org", "/home/m/") == "/b.org/maida/maida@b.org/o/m/a/x/home/m/y"
    )
    assert expand("{home}/Maildir", "joe", "/home/joe/") == "/home/joe/Maildir"


def test_nothing_is_expanded_twice() -> None:
    assert expand("/mail/{user}", "{home}%u$HOME~", "/root") == "/mail/{home}%u$HOME~"
    assert expand("{home}/x", "joe", "/{user}") == "/{user}/x"


@pytest.mark.parametrize("template", ["/mail/{domain}/{name}", "{home}/Maildir"])
def test_what_a_user_does_not_have_is_an_error(template: str) -> None:
    with pytest.raises(PathError, match="the user has none"):
        expand(template, "joe", "")


def test_the_result_is_absolute() -> None:
    with pytest.raises(PathError):
        expand("{home}/Maildir", "joe", "home/joe")


@pytest.mark.parametrize("template", ["mail/{user}", "", "/mail/{nobody}", "/mail/{}"])
def test_a_template_that_cannot_work_names_the_key(template: str) -> None:
    with pytest.raises(SetupError, match=r"^maildrop\.path: "):
        identity.check_path(template)


@given(st.binary(max_size=60))
def test_no_name_leads_out_of_the_directory(octets: bytes) -> None:
    user = name(octets)
    if user is None:
        return
    for template in ("/mail/{user}", "/mail/{domain}", "/mail/{name}", "/mail/{hash1}/{hash2}/m"):
        try:
            path = expand(template, user, "")
        except PathError:
            continue
        parts = path.split("/")
        assert parts[:2] == ["", "mail"]
        assert ".." not in parts
        assert "\0" not in path


# -- accounts -------------------------------------------------------------------------------


def test_system_users_have_their_own_ids_and_the_mail_group() -> None:
    nobody = pwd.getpwnam("nobody")
    account = Accounts(service(), "/var/mail/{user}").account(Authenticated("nobody"), 0.0)
    assert account == Account(
        "nobody",
        nobody.pw_uid,
        nobody.pw_gid,
        tuple(sorted({*os.getgrouplist("nobody", nobody.pw_gid), MAIL.pw_gid})),
        nobody.pw_dir,
        "/var/mail/nobody",
    )


def test_without_a_mail_group_none_is_added() -> None:
    account = Accounts(service(mail_group=""), "/m/{user}").account(Authenticated("nobody"), 0.0)
    assert isinstance(account, Account)
    assert MAIL.pw_gid not in account.groups


@pytest.mark.parametrize("user", ["root", "daemon", "mail", "no-such-user-here"])
def test_system_accounts_and_unknown_users_look_like_a_wrong_password(user: str) -> None:
    refusal = Accounts(service(), "/m/{user}").account(Authenticated(user), 0.0)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.text) == ("AUTH", "Wrong user name or password")
    assert user in refusal.detail


def test_ids_of_the_source_serve_users_that_the_system_does_not_know() -> None:
    who = Authenticated("no-such-user-here", 4711, 4712, "/home/x")
    account = Accounts(service(), "{home}/mbox").account(who, 0.0)
    assert account == Account(
        "no-such-user-here", 4711, 4712, (grp.getgrnam("mail").gr_gid,), "/home/x", "/home/x/mbox"
    )


@pytest.mark.parametrize(("uid", "gid"), [(0, 1000), (10, 1000), (1000, 0)])
def test_ids_of_the_source_cannot_be_the_systems(uid: int, gid: int) -> None:
    refusal = Accounts(service(), "/m/{user}").account(Authenticated("x", uid, gid), 0.0)
    assert isinstance(refusal, Refusal)


def test_virtual_users_have_the_ids_of_mail_user() -> None:
    accounts = Accounts(service(users="virtual", mail_user="mail"), "/m/{domain}/{name}")
    who = Authenticated("joe@example.org", 4711, 4712, "/home/x")
    assert accounts.account(who, 0.0) == Account(
        "joe@example.org", MAIL.pw_uid, MAIL.pw_gid, (), "/home/x", "/m/example.org/joe"
    )


def test_a_user_without_what_the_path_needs_is_told_and_logged() -> None:
    accounts = Accounts(service(users="virtual", mail_user="mail"), "/m/{domain}/{name}")
    refusal = accounts.account(Authenticated("joe"), 0.0)
    assert refusal == Refusal(
        "SYS/PERM",
        "Your mailbox is not set up",
        "user joe: maildrop.path needs {domain}, and the user has none",
    )


def test_an_account_is_looked_up_again_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = Accounts(service(), "/m/{user}")
    looks: list[str] = []
    real = pwd.getpwnam
    monkeypatch.setattr(identity.pwd, "getpwnam", lambda user: looks.append(user) or real(user))
    for now in (0.0, 30.0, 59.9):
        assert isinstance(accounts.account(Authenticated("nobody"), now), Account)
    assert looks == ["nobody"]
    accounts.account(Authenticated("nobody"), 60.0)
    assert looks == ["nobody"] * 2


def test_remembered_accounts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_MAXIMUM_REMEMBERED", 10)
    accounts = Accounts(service(users="virtual", mail_user="mail"), "/m/{user}")
    for number in range(100):
        account = accounts.account(Authenticated(f"u{number}"), 0.0)
        assert isinstance(account, Account)
        assert account.path == f"/m/u{number}"
        assert len(accounts._remembered) <= 10


def test_changed_ids_of_the_source_count_at_once() -> None:
    accounts = Accounts(service(), "/m/{user}")
    first = accounts.account(Authenticated("x", 4711, 4712), 0.0)
    second = accounts.account(Authenticated("x", 4713, 4712), 0.0)
    assert isinstance(first, Account)
    assert isinstance(second, Account)
    assert (first.uid, second.uid) == (4711, 4713)


def test_barred_names_are_the_systems_own() -> None:
    accounts = Accounts(service(), "/m/{user}")
    assert accounts.barred("root")
    assert not accounts.barred("nobody")
    assert not accounts.barred("no-such-user-here")
    assert not Accounts(service(users="virtual", mail_user="mail"), "/m/{user}").barred("root")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"mail_group": "no-such-group-here"}, "service.mail_group"),
        ({"mail_group": "root"}, "service.mail_group"),
        ({"users": "virtual", "mail_user": "no-such-user-here"}, "service.mail_user"),
        ({"users": "virtual", "mail_user": "root"}, "service.mail_user"),
    ],
)
def test_what_the_machine_does_not_have_names_the_key(changes: dict[str, str], key: str) -> None:
    with pytest.raises(SetupError) as error:
        Accounts(service(**changes), "/m/{user}")
    assert str(error.value).startswith(key + ": ")


def test_without_a_mail_user_mail_is_the_running_accounts_unless_that_is_root(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(identity.os, "geteuid", lambda: 4711)
    monkeypatch.setattr(identity.os, "getegid", lambda: 4712)
    assert identity.mail_user("") == (4711, 4712)
    monkeypatch.setattr(identity.os, "geteuid", lambda: 0)
    with pytest.raises(SetupError, match=r"^service\.mail_user: "):
        identity.mail_user("")
