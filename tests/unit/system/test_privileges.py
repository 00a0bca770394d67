"""Becoming a user for good. Each test runs in a child, because there is no way back."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from preforkpop.system import privileges
from preforkpop.system.privileges import PrivilegeError

UID, GID, GROUPS = 40001, 40002, (40003, 40004)
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE = 47, 2, 10


def in_child(run: Callable[[], object]) -> None:
    """Run in a child; fails when it raises or is killed."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            run()
            os._exit(0)
        except BaseException:
            os.write(writer, traceback.format_exc().encode())
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, text or f"ended by {status}"


def status(*names: str) -> list[str]:
    """Fields of /proc/self/status."""
    text = Path("/proc/self/status").read_text()
    return [re.findall(rf"^{name}:\s*(.*)$", text, re.MULTILINE)[0] for name in names]


def become() -> None:
    privileges.become(UID, GID, GROUPS)


@pytest.mark.root
class TestFromRoot:
    def test_all_four_uids_and_gids_and_the_groups_are_the_users(self) -> None:
        def run() -> None:
            become()
            uids, gids, groups = status("Uid", "Gid", "Groups")
            assert uids.split() == [str(UID)] * 4  # real, effective, saved, file system
            assert gids.split() == [str(GID)] * 4
            assert groups.split() == [str(group) for group in GROUPS]

        in_child(run)

    def test_no_capability_is_left(self) -> None:
        def run() -> None:
            become()
            assert not any(
                int(value, 16) for value in status("CapInh", "CapPrm", "CapEff", "CapAmb")
            )

        in_child(run)

    def test_set_user_id_programs_give_nothing_back(self) -> None:
        def run() -> None:
            become()
            assert status("NoNewPrivs") == ["1"]

        in_child(run)

    @pytest.mark.parametrize(
        "regain",
        [
            lambda: os.setuid(0),
            lambda: os.seteuid(0),
            lambda: os.setreuid(-1, 0),
            lambda: os.setresuid(0, 0, 0),
            lambda: os.setgid(0),
            lambda: os.setegid(0),
            lambda: os.setresgid(0, 0, 0),
            lambda: os.setgroups([0]),
            lambda: os.chroot("/"),
        ],
    )
    def test_there_is_no_way_back(self, regain: Callable[[], None]) -> None:
        def run() -> None:
            become()
            with pytest.raises(PermissionError):
                regain()

        in_child(run)

    def test_files_of_root_are_out_of_reach(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("x")
        secret.chmod(0o600)

        def run() -> None:
            become()
            with pytest.raises(PermissionError):
                secret.read_text()

        in_child(run)

    def test_without_supplementary_groups_there_are_none(self) -> None:
        def run() -> None:
            privileges.become(UID, GID)
            assert os.getgroups() == []

        in_child(run)

    def test_it_can_be_asked_again_and_only_for_the_same(self) -> None:
        def run() -> None:
            become()
            become()
            with pytest.raises(PrivilegeError, match="without being root"):
                privileges.become(UID + 1, GID)

        in_child(run)

    @pytest.mark.parametrize(
        ("uid", "gid", "groups"), [(0, GID, ()), (UID, 0, ()), (UID, GID, (GID, 0)), (0, 0, ())]
    )
    def test_root_and_its_group_are_refused_before_anything_changes(
        self, uid: int, gid: int, groups: tuple[int, ...]
    ) -> None:
        def run() -> None:
            with pytest.raises(PrivilegeError, match="refusing"):
                privileges.become(uid, gid, groups)
            assert os.getresuid() == (0, 0, 0)

        in_child(run)

    def test_capabilities_that_would_outlive_the_change_are_given_up(self) -> None:
        """As a service manager or a container may have arranged it (prctl(2), SECBIT)."""

        def run() -> None:
            libc = ctypes.CDLL(None)
            assert libc.prctl(28, 1 << 2, 0, 0, 0) == 0  # PR_SET_SECUREBITS, NO_SETUID_FIXUP
            become()
            assert not privileges.holds_capabilities()
            with pytest.raises(PermissionError):
                os.setuid(0)

        in_child(run)

    def test_a_change_that_does_not_happen_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def run() -> None:
            for name in ("setresuid", "setresgid", "setgroups"):
                with monkeypatch.context() as patch:
                    patch.setattr(os, name, lambda *_ids: None)
                    if name == "setgroups":
                        os.setresgid(0, 0, 0)
                    pid = os.fork()
                    if pid == 0:
                        try:
                            become()
                        except PrivilegeError:
                            os._exit(0)
                        os._exit(1)
                    assert os.waitpid(pid, 0)[1] == 0, name

        in_child(run)

    def test_the_root_directory_is_an_empty_one(self, tmp_path: Path) -> None:
        jail = tmp_path / "jail"
        jail.mkdir()

        def run() -> None:
            privileges.confine(str(jail))
            become()
            assert os.listdir("/") == []
            assert os.getcwd() == "/"
            with pytest.raises(FileNotFoundError):
                os.stat("/etc/passwd")
            with pytest.raises(PermissionError):
                os.chroot("..")

        in_child(run)

    def test_a_directory_that_is_not_there_is_an_error(self, tmp_path: Path) -> None:
        def run() -> None:
            with pytest.raises(FileNotFoundError):
                privileges.confine(str(tmp_path / "missing"))

        in_child(run)

    def test_others_of_the_same_account_cannot_read_the_memory(self) -> None:
        reader, writer = os.pipe()
        go, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(told)
            privileges.become(UID, GID)
            ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as after an exec
            privileges.hide_memory()
            os.write(writer, b".")
            os.read(go, 1)
            os._exit(0)
        os.close(go)
        os.read(reader, 1)

        def run() -> None:
            privileges.become(UID, GID)
            with pytest.raises(PermissionError):
                os.open(f"/proc/{pid}/mem", os.O_RDONLY)

        try:
            in_child(run)
        finally:
            for descriptor in (told, reader, writer):
                os.close(descriptor)
            os.waitpid(pid, 0)

    def test_capabilities_of_an_ordinary_user_go_too(self) -> None:
        """A service manager starts the server as a user that may bind port 110."""

        def run() -> None:
            libc = ctypes.CDLL(None)
            assert libc.prctl(8, 1, 0, 0, 0) == 0  # PR_SET_KEEPCAPS
            os.setgroups([])
            os.setresgid(GID, GID, GID)
            os.setresuid(UID, UID, UID)
            assert privileges.holds_capabilities()
            privileges.become(UID, GID)
            assert not privileges.holds_capabilities()

        in_child(run)


def test_who_is_not_root_stays_who_he_is() -> None:
    def run() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(GID, GID, GID)
            os.setresuid(UID, UID, UID)
        uid, gid = os.getuid(), os.getgid()
        privileges.become(uid, gid)
        assert os.getresuid() == (uid, uid, uid)
        assert status("NoNewPrivs") == ["1"]
        with pytest.raises(PrivilegeError):
            privileges.become(uid + 1, gid)

    in_child(run)
    assert "preforkpop.system.privileges" in sys.modules
