"""The file of users: reading, re-reading, and never a wrong password for a file that is broken."""

from __future__ import annotations

import os
import pathlib
import stat

import pytest

from preforkpop.auth.backends import passwd_file
from preforkpop.auth.backends.passwd_file import PasswdFile, parse
from preforkpop.auth.cache import Cache
from preforkpop.auth.credentials import Authenticated, Outcome, Refusal
from tests.unit.auth.helpers import KEY, QUICK_CRYPT, STAMP, Clock, credentials

APOP = b"c4c9334bac560ecc979e58001b3e22fb"  # of "tanstaaf" and STAMP: RFC 1939 section 7


class File:
    """A file of users with a source on it."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.path = directory / "users"
        self.reports: list[str] = []
        self.clock = Clock()
        self.source = PasswdFile(str(self.path), Cache(KEY, 300), self.reports.append)

    def write(self, text: str) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o600)
        new.replace(self.path)
        self.clock.now += 1.0

    def check(self, user: str = "fred", secret: bytes = b"secret", **changes: object) -> Outcome:
        return self.source.check(
            credentials(user.encode(), secret, **changes), user, self.clock.now
        )


@pytest.fixture
def file(tmp_path: pathlib.Path) -> File:
    return File(tmp_path)


def code(outcome: Outcome) -> str:
    assert isinstance(outcome, Refusal)
    return outcome.code


def test_parse_tells_entries_and_faults_by_line(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "users"
    path.write_bytes(
        b"# comment\n\n  \t\nfred:{PLAIN}a\r\n:nobody\nbad:secret\njoe:{PLAIN}b\n"
        b"fred:{PLAIN}c\n#last:{PLAIN}d"
    )
    entries, faults = parse(str(path))
    assert set(entries) == {"fred", "joe"}
    assert entries["fred"].password is not None
    assert entries["fred"].password.value == b"a"
    assert [str(fault) for fault in faults] == [
        f"{path}:6: the password has no {{SCHEME}}",
        f"{path}:8: the user is on line 4 already",
    ]


def test_parse_of_a_missing_file_is_a_fault_of_the_file(tmp_path: pathlib.Path) -> None:
    entries, faults = parse(str(tmp_path / "users"))
    assert not entries
    assert [fault.line for fault in faults] == [0]
    assert "No such file" in faults[0].problem


def test_a_last_line_without_an_end_counts(file: File) -> None:
    file.write("joe:{PLAIN}x\nfred:{PLAIN}secret:1001:1002::/home/fred")
    assert file.check() == Authenticated("fred", 1001, 1002, "/home/fred")


def test_right_wrong_and_unknown(file: File) -> None:
    file.write(f"fred:{{PLAIN}}secret\njoe:{QUICK_CRYPT}\n")
    assert file.check("fred", b"secret") == Authenticated("fred")
    assert code(file.check("fred", b"Secret")) == "AUTH"
    assert file.check("joe", b"x") == Authenticated("joe")
    assert code(file.check("joe", b"y")) == "AUTH"
    assert file.check("ann") is None
    assert not file.reports


def test_names_are_compared_whole(file: File) -> None:
    file.write("fred:{PLAIN}secret\n")
    assert file.check("fre") is None
    assert file.check("Fred") is None


def test_blanks_tabs_and_nuls_are_octets_of_a_password(file: File) -> None:
    file.write("fred:{PLAIN} a\tb \n")
    assert isinstance(file.check("fred", b" a\tb "), Authenticated)
    assert code(file.check("fred", b"a\tb")) == "AUTH"
    assert code(file.check("fred", b" a\tb \0")) == "AUTH"


def test_a_symbolic_link_is_the_administrators(file: File, tmp_path: pathlib.Path) -> None:
    real = tmp_path / "real"
    real.write_text("fred:{PLAIN}secret\n")
    real.chmod(0o600)
    file.path.symlink_to(real)
    assert isinstance(file.check(), Authenticated)


def test_a_change_is_seen_within_a_second(file: File) -> None:
    file.write("fred:{PLAIN}secret\n")
    assert isinstance(file.check(), Authenticated)
    file.write("fred:{PLAIN}changed\n")
    assert code(file.check()) == "AUTH"
    assert isinstance(file.check(secret=b"changed"), Authenticated)


def test_the_file_is_looked_at_once_a_second_at_most(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write("fred:{PLAIN}secret\n")
    file.check()
    looks: list[str] = []
    real = os.stat
    monkeypatch.setattr(passwd_file.os, "stat", lambda path: looks.append(path) or real(path))
    for _ in range(100):
        file.check()
    assert not looks
    file.clock.now += 1.0
    for _ in range(100):
        file.check()
    assert len(looks) == 1


def test_a_new_version_with_faults_is_told_and_the_old_one_stays(file: File) -> None:
    file.write("fred:{PLAIN}secret\n")
    file.check()
    file.write("fred:{PLAIN}changed\njoe:oops\n")
    assert isinstance(file.check(), Authenticated)
    assert file.reports == [
        f"{file.path}:2: the password has no {{SCHEME}}",
        f"{file.path}: the version before it stays in force",
    ]
    file.clock.now += 10
    file.check()
    assert len(file.reports) == 2
    file.write("fred:{PLAIN}changed\n")
    assert isinstance(file.check(secret=b"changed"), Authenticated)


def test_the_first_version_serves_its_good_lines(file: File) -> None:
    file.write("joe:oops\nfred:{PLAIN}secret\n")
    assert isinstance(file.check(), Authenticated)
    assert file.check("joe") is None
    assert file.reports == [f"{file.path}:1: the password has no {{SCHEME}}"]


def test_many_faults_are_counted_not_listed(file: File) -> None:
    file.write("joe:oops\n" * 25)
    file.check()
    assert len(file.reports) == 11
    assert file.reports[-1] == f"{file.path}: 15 more faults"


def test_a_missing_file_is_the_servers_fault_until_it_is_back(file: File) -> None:
    assert code(file.check()) == "SYS/TEMP"
    file.write("fred:{PLAIN}secret\n")
    assert isinstance(file.check(), Authenticated)
    file.path.unlink()
    file.clock.now += 1.0
    refusal = file.check()
    assert isinstance(refusal, Refusal)
    assert refusal.code == "SYS/TEMP"
    assert refusal.detail == f"{file.path}: cannot be opened: No such file or directory"
    assert "password" not in refusal.text
    file.clock.now += 5.0
    file.check()
    assert len([line for line in file.reports if "No such file" in line]) == 2
    file.write("fred:{PLAIN}secret\n")
    assert isinstance(file.check(), Authenticated)


def test_a_pipe_is_refused_and_does_not_block(file: File) -> None:
    os.mkfifo(file.path, 0o600)
    refusal = file.check()
    assert code(refusal) == "SYS/TEMP"
    assert isinstance(refusal, Refusal)
    assert refusal.detail.endswith("is not a file")


def test_a_directory_is_refused(file: File) -> None:
    file.path.mkdir()
    assert code(file.check()) == "SYS/TEMP"


def test_a_file_that_everybody_can_write_is_refused_until_it_is_mended(file: File) -> None:
    file.write("fred:{PLAIN}secret\n")
    file.path.chmod(0o606)
    refusal = file.check()
    assert isinstance(refusal, Refusal)
    assert "chmod o-w" in refusal.detail
    file.path.chmod(0o600)
    file.clock.now += 1.0
    assert isinstance(file.check(), Authenticated)


def test_secrets_that_everybody_can_read_are_told(file: File) -> None:
    file.write("fred:{PLAIN}secret\n")
    file.path.chmod(0o604)
    assert isinstance(file.check(), Authenticated)
    assert len(file.reports) == 1
    assert "chmod o-r" in file.reports[0]
    assert file.path.stat().st_mode & stat.S_IROTH


def test_apop_is_for_plain_entries(file: File) -> None:
    file.write(f"mrose:{{PLAIN}}tanstaaf\njoe:{QUICK_CRYPT}\nann:*\n")
    assert file.check("mrose", APOP, mechanism="APOP") == Authenticated("mrose")
    assert code(file.check("mrose", b"tanstaaf", mechanism="APOP")) == "AUTH"
    assert code(file.check("mrose", APOP, mechanism="APOP", stamp=STAMP + b"x")) == "AUTH"
    assert code(file.check("joe", APOP, mechanism="APOP")) == "AUTH"
    assert code(file.check("ann", APOP, mechanism="APOP")) == "AUTH"
    assert code(file.check("mrose", APOP, mechanism="USER")) == "AUTH"
    assert file.check("nobody", APOP, mechanism="APOP") is None


def test_locked_and_barred_users_look_like_a_wrong_password(file: File) -> None:
    file.write(
        "ann:!\nfred:{PLAIN}secret::::::nologin=y\njoe:{PLAIN}secret::::::allow_nets=198.51.100.0/24\n"
        "jim:{PLAIN}secret\n"
    )
    wrong = file.check("jim", b"wrong")
    assert isinstance(wrong, Refusal)
    for user in ("ann", "fred", "joe"):
        refusal = file.check(user)
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.text) == (wrong.code, wrong.text)
    assert isinstance(file.check("joe", client="198.51.100.7"), Authenticated)


def hashes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Count what is expensive: every computation of libcrypt from now on."""
    asked: list[bytes] = []
    real = passwd_file.schemes.libcrypt.crypt
    monkeypatch.setattr(
        passwd_file.schemes.libcrypt,
        "crypt",
        lambda phrase, setting: asked.append(setting) or real(phrase, setting),
    )
    return asked


def test_a_right_password_is_computed_once(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write(f"joe:{QUICK_CRYPT}\n")
    asked = hashes(monkeypatch)
    for _ in range(5):
        assert isinstance(file.check("joe", b"x"), Authenticated)
    assert len(asked) == 1
    file.clock.now += 301
    file.check("joe", b"x")
    assert len(asked) == 2


def test_wrong_passwords_are_computed_each_time(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(f"joe:{QUICK_CRYPT}\n")
    asked = hashes(monkeypatch)
    for _ in range(5):
        assert code(file.check("joe", b"y")) == "AUTH"
    assert len(asked) == 5


def test_another_user_with_the_same_password_is_computed(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(f"joe:{QUICK_CRYPT}\njim:{QUICK_CRYPT}\nann:{QUICK_CRYPT}\n")
    asked = hashes(monkeypatch)
    for user in ("joe", "jim", "ann"):
        assert isinstance(file.check(user, b"x"), Authenticated)
    assert isinstance(file.check("joe", b"x", mechanism="PLAIN"), Authenticated)
    assert len(asked) == 4


def test_what_was_remembered_dies_with_the_entry(file: File) -> None:
    file.write(f"joe:{QUICK_CRYPT}\n")
    assert isinstance(file.check("joe", b"x"), Authenticated)
    file.write("joe:{PLAIN}other\n")
    assert code(file.check("joe", b"x")) == "AUTH"
    file.write(f"joe:{QUICK_CRYPT}::::::nologin\n")
    assert code(file.check("joe", b"x")) == "AUTH"
    file.write("jim:{PLAIN}other\n")
    assert file.check("joe", b"x") is None


def test_pretending_costs_what_the_commonest_scheme_costs(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = QUICK_CRYPT.replace("rounds=1000", "rounds=2000")
    file.write(f"a:{other}\nb:{QUICK_CRYPT}\nc:{QUICK_CRYPT}\nd:{{PLAIN}}x\ne:!\n")
    file.check("a")
    asked = hashes(monkeypatch)
    assert file.source.pretend(credentials(b"nobody", b"x"))
    assert asked == [QUICK_CRYPT.encode()]


def test_a_locked_user_costs_the_same(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write(f"joe:{QUICK_CRYPT}\nann:!\n")
    asked = hashes(monkeypatch)
    assert code(file.check("ann", b"x")) == "AUTH"
    assert len(asked) == 1


def test_an_empty_file_has_nothing_to_pretend(file: File) -> None:
    file.write("")
    assert file.check() is None
    assert not file.source.pretend(credentials())
