"""Putting right the maildrop of one user whose session died.

Run in a process of its own, forked by the master or by ``preforkpop repair``, as root when the
server was started as root: it becomes the user, for good, before it looks at anything of the
user's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from preforkpop.maildrop.base import MaildropError, Place
from preforkpop.maildrop.open import repair_maildrop, repair_plan
from preforkpop.maildrop.session_lock import last_maildrop
from preforkpop.system import privileges, process
from preforkpop.system.log import Log, escape
from preforkpop.worker import state
from preforkpop.worker.settings import Maildrop


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair needs to know."""

    state_dir: str
    maildrop: Maildrop
    groups: tuple[int, ...]  # supplementary ones, which let a user remove a dot-lock

    def run(self, user: str, log: Log) -> int:
        """Repair, and log what was done or why not; the exit status."""
        try:
            done = self.carry_out(user)
        except MaildropError as error:
            if error.code == "IN-USE":
                return process.EXIT_OK  # the session that has the maildrop has repaired it
            return self._failed(user, error.detail, log)
        except (state.StateError, OSError) as error:
            return self._failed(user, str(error), log)
        for line in done:
            log.notice(f"{escape(user)}: {escape(line, 512)}")
        return process.EXIT_OK

    def _failed(self, user: str, why: str, log: Log) -> int:
        log.error(f"{escape(user)}: {escape(why, 512)}")
        return process.EXIT_FAILED

    def carry_out(self, user: str) -> list[str]:
        """Become the user and repair; a line for each thing done. StateError, MaildropError."""
        place = self._become(user)
        return repair_maildrop(place) if place else []

    def plan(self, user: str) -> list[str]:
        """Become the user and say what would be done; changes nothing. StateError."""
        place = self._become(user)
        return repair_plan(place) if place else []

    def _become(self, user: str) -> Place | None:
        """The user's maildrop; None when no session has been there yet."""
        directory, uid, gid = state.find(self.state_dir, user)
        if uid == 0:
            return None  # its maker died before it was the user's
        if os.geteuid() == 0:
            privileges.become(uid, gid, self.groups)
        path = last_maildrop(directory)
        if not path:
            return None
        settings = self.maildrop
        return Place(
            format=settings.format,
            path=path,
            state=directory,
            owner=uid,
            peer="a repair",
            locks=settings.locks,
            lock_timeout=settings.lock_timeout,
            mail_lock_check=settings.mail_lock_check,
            uidl=settings.uidl,
        )
