"""Real accounts of the system and PAM services, made for tests and removed after them. As root."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PAM = Path("/etc/pam.d")


@contextmanager
def accounts(names: Sequence[str], password: str) -> Iterator[list[pwd.struct_passwd]]:
    """Accounts without a home and with this password."""
    made = []
    try:
        for name in names:
            _remove(name)  # of a run that was killed
            _run("useradd", "--no-create-home", "--shell", "/usr/sbin/nologin", name)
            made.append(name)
            _run("chpasswd", said=f"{name}:{password}\n")
        yield [pwd.getpwnam(name) for name in made]
    finally:
        for name in made:
            _remove(name)


def _remove(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return
    _run("userdel", name)


def _run(*words: str, said: str = "") -> None:
    done = subprocess.run(
        words,
        input=said,
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
        env={"PATH": f"{os.defpath}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, f"{words}: {done.stderr}"


def expire(name: str) -> None:
    """An account that has expired."""
    _run("usermod", "--expiredate", "1", name)


def demand_new_password(name: str) -> None:
    """An account whose password has to be changed at the next login."""
    _run("chage", "--lastday", "0", name)


def lock(name: str) -> None:
    """An account whose password does not work any more."""
    _run("usermod", "--lock", name)


@contextmanager
def service(name: str, *lines: str) -> Iterator[str]:
    """A PAM service that is not there yet."""
    path = PAM / name
    with path.open("x") as file:
        file.write("".join(f"{line}\n" for line in lines))
    try:
        yield name
    finally:
        path.unlink()
