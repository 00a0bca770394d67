"""Delivery agents: procmail and maildrop from Debian, run as the owner of the mail.

They rely on the MTA for a last line that is complete: without one neither leaves a blank line
between the message and the next, which are one message then.
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.site import IS_ROOT, Deployment, Site, as_account

SENDER = "sender@example.org"


def procmail(site: Site, octets: bytes, name: str = "fred") -> None:
    """Deliver a message with procmail, which takes the dot-lock and kernel locks."""
    words = ["procmail", "-f", SENDER, "-p", *_procmail_settings(site, name), _rules(site)]
    _run(site, name, words, octets)


def maildrop(site: Site, octets: bytes, name: str = "fred") -> None:
    """Deliver a message with maildrop; the owner has to be an account of the system."""
    rules = site.directory / f"maildrop-{name}"
    if not rules.exists():
        rules.write_text(f'to "{site.spool(name)}"\n')
        os.chown(rules, *site.user(name).owner)
        rules.chmod(0o600)
    _run(site, name, ["maildrop", "-f", SENDER, str(rules)], octets)


def _procmail_settings(site: Site, name: str) -> list[str]:
    """Where to, and how long to wait between two looks at a lock (its own 8 s are long)."""
    spool = f"{site.spool(name)}/" if site.mail_format == "maildir" else str(site.spool(name))
    return [f"DEFAULT={spool}", f"ORGMAIL={spool}", "LOCKSLEEP=1", "LOGFILE=/dev/null"]


def _rules(site: Site) -> str:
    """No rules: everything goes where it goes without."""
    path = site.directory / "procmailrc"
    path.touch(mode=0o644)
    return str(path)


def _run(site: Site, name: str, words: list[str], octets: bytes) -> None:
    octets = octets if octets.endswith(b"\n") else octets + b"\n"
    with _no_spool_of_its_own(site.user(name).uid):
        done = subprocess.run(
            words,
            input=octets,
            capture_output=True,
            check=False,
            timeout=60,
            **_as_owner(site, name),
        )
    assert done.returncode == 0, f"{words[0]}: {done.stderr.decode()}"


@contextmanager
def _no_spool_of_its_own(uid: int) -> Iterator[None]:
    """procmail makes an empty spool for the account it runs as, wherever the mail goes."""
    try:
        spool = Path("/var/mail") / pwd.getpwuid(uid).pw_name
    except KeyError:
        yield
        return
    was_there = spool.exists()
    yield
    if IS_ROOT and not was_there:
        spool.unlink(missing_ok=True)


def _as_owner(site: Site, name: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "cwd": "/",
        "env": {
            "PATH": os.defpath,
            "HOME": str(site.directory),
            "LOGNAME": name,
            "LC_ALL": "C.UTF-8",
        },
    }
    user = site.user(name)
    groups = [grp.getgrnam("mail").gr_gid] if site.deployment is Deployment.SYSTEM else []
    return options | as_account(user.uid, user.gid, groups)
