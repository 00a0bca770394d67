"""What lies where the maildrop should be: refused with a reason, and left as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.fixtures import Servers
from tests.support.mailboxes import message
from tests.support.server import Server
from tests.support.site import Deployment, Site, User

OTHER = 64999
"""A uid that has no mail here."""


@dataclass(frozen=True, slots=True)
class Case:
    """Something wrong, and how it is told."""

    name: str
    make: Callable[[Site, User], None]
    code: str
    advice: str  # in the log line, behind the path
    mail_format: str = "mbox"
    about: str = ""  # what the line names, in the spool; "" for itself


def _good(site: Site, user: User) -> Path:
    site.put([message("good")], user.name)
    return site.spool(user.name)


def _link(site: Site, user: User) -> None:
    spool = _good(site, user)
    target = spool.rename(site.directory / f"target-{user.name}")
    spool.symlink_to(target)
    os.chown(spool, *user.owner, follow_symlinks=False)


def _hard_link(site: Site, user: User) -> None:
    os.link(_good(site, user), site.directory / f"second-{user.name}")


def _fifo(site: Site, user: User) -> None:
    os.mkfifo(site.spool(user.name))
    os.chown(site.spool(user.name), *user.owner)


def _directory(site: Site, user: User) -> None:
    site.spool(user.name).mkdir()
    os.chown(site.spool(user.name), *user.owner)


def _others(site: Site, user: User) -> None:
    os.chown(_good(site, user), OTHER, OTHER)


def _others_readable(site: Site, user: User) -> None:
    _others(site, user)
    site.spool(user.name).chmod(0o666)


def _closed(site: Site, user: User) -> None:
    _good(site, user).chmod(0)


def _text(octets: bytes) -> Callable[[Site, User], None]:
    def make(site: Site, user: User) -> None:
        _good(site, user).write_bytes(octets)

    return make


def _file(site: Site, user: User) -> None:
    site.spool(user.name).write_bytes(message("a file"))
    os.chown(site.spool(user.name), *user.owner)


def _without_cur(site: Site, user: User) -> None:
    (_good(site, user) / "cur").rmdir()


def _others_new(site: Site, user: User) -> None:
    os.chown(_good(site, user) / "new", OTHER, OTHER)


def _closed_new(site: Site, user: User) -> None:
    (_good(site, user) / "new").chmod(0)


CASES = (
    Case("link", _link, "SYS/PERM", "symbolic link"),
    Case("hard-link", _hard_link, "SYS/PERM", "2 names"),
    Case("fifo", _fifo, "SYS/PERM", "not a file; move it away"),
    Case("directory", _directory, "SYS/PERM", "not a file; move it away"),
    Case("others", _others, "SYS/PERM", "Permission denied|chown"),
    Case("others-readable", _others_readable, "SYS/PERM", f"belongs to uid {OTHER}.*chown"),
    Case("closed", _closed, "SYS/PERM", "Permission denied"),
    Case("corrupt", _text(b"rom sender Sat Nov  7\n\nx\n"), "SYS/PERM", "correct that line"),
    Case("binary", _text(bytes(range(256)) * 40), "SYS/PERM", "correct that line"),
    Case("blank-line-first", _text(b"\nFrom a Sat Nov  7 10:00:00 2026\n\n"), "SYS/PERM", "From_"),
    Case("link", _link, "SYS/PERM", "symbolic link", "maildir"),
    Case("file", _file, "SYS/PERM", "not a directory: move it away", "maildir"),
    Case("without-cur", _without_cur, "SYS/PERM", "has to be a Maildir", "maildir", "/cur"),
    Case("others", _others, "SYS/PERM", f"is of uid {OTHER}: chown", "maildir"),
    Case("others-new", _others_new, "SYS/PERM", f"is of uid {OTHER}: chown", "maildir", "/new"),
    Case("closed", _closed, "SYS/PERM", "Permission denied", "maildir"),
    Case("closed-new", _closed_new, "SYS/PERM", "Permission denied", "maildir"),
)


def _snapshot(path: Path) -> list[tuple[object, ...]]:
    """Names, kinds, owners, times and contents of everything at and below a path."""
    below = sorted(path.rglob("*")) if path.is_dir() and not path.is_symlink() else []
    found: list[tuple[object, ...]] = []
    for one in (path, *below):
        status = one.lstat()
        content = one.read_bytes() if one.is_file() and not one.is_symlink() else b""
        found.append(
            (one, status.st_mode, status.st_uid, status.st_nlink, status.st_mtime_ns, content)
        )
    return found


@pytest.fixture(scope="module")
def running(module_servers: Servers) -> dict[str, Server]:
    """A server for each format, whose users are the cases."""
    return {
        mail_format: module_servers.start(
            deployment=Deployment.SYSTEM,
            users=[case.name for case in CASES if case.mail_format == mail_format],
            mail_format=mail_format,
        )
        for mail_format in ("mbox", "maildir")
    }


@pytest.mark.root
@pytest.mark.parametrize("case", CASES, ids=[f"{one.mail_format}-{one.name}" for one in CASES])
def test_what_is_no_maildrop_of_the_user_is_refused_and_left_alone(
    running: dict[str, Server], case: Case
) -> None:
    server = running[case.mail_format]
    site, user = server.site, server.site.user(case.name)
    case.make(site, user)
    spool = site.spool(case.name)
    before, mark = _snapshot(spool), len(server.log)
    with server.client() as client:
        client.ok(f"USER {case.name}")
        answer = client.says("PASS secret")
        assert answer.startswith(f"-ERR [{case.code}] ".encode()), answer
        assert client.closed()
    path = re.escape(f"{spool}{case.about}")
    line = server.log.wait(rf" error worker.*\b{case.name}: \[{case.code}\] .*{path}", mark)
    assert re.search(case.advice, line), line
    assert _snapshot(spool) == before
    assert [one.name for one in site.mail.iterdir() if one.name.startswith(f"{case.name}.")] == []


@pytest.mark.parametrize("mail_format", ["mbox", "maildir"])
def test_a_user_without_a_maildrop_has_no_mail_yet(servers: Servers, mail_format: str) -> None:
    server = servers.start(mail_format=mail_format)
    with server.session() as client:
        assert client.ok("STAT").startswith(b"+OK 0 0")
        client.quit()
    assert not server.site.spool().exists()


@pytest.mark.parametrize("mail_format", ["mbox", "maildir"])
def test_a_missing_spool_directory_is_not_an_empty_maildrop(
    servers: Servers, mail_format: str
) -> None:
    """It may be a file system that is not mounted: a client must not think its mail is gone."""
    server = servers.start(mail_format=mail_format)
    server.site.mail.rmdir()
    with server.client() as client:
        client.ok("USER fred")
        assert client.says("PASS secret").startswith(b"-ERR [SYS/TEMP] ")
        assert client.closed()
    line = server.log.wait(r"error worker.*fred: \[SYS/TEMP\]")
    assert f"{server.site.mail} " in line
    assert "maildrop.path" in line


def test_a_refused_maildrop_does_not_count_as_a_failed_login(servers: Servers) -> None:
    server = servers.start()
    server.site.mail.rmdir()
    for _ in range(5):
        with server.client() as client:
            client.ok("USER fred")
            assert client.says("PASS secret").startswith(b"-ERR [SYS/TEMP] ")
    server.wait_quiet()
    assert server.status()["auth"] == {"processes": 2, "logins": 5, "failures": 0}
