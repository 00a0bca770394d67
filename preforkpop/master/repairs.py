"""Repairs of the maildrops of sessions that died: at once, and at the start those of a power cut.

Run by the master (root when started as root), which forks a process for each: it becomes the user
before it looks at the maildrop. Who logs in meanwhile repairs it too, so nothing waits for this.
"""

from __future__ import annotations

from collections.abc import Callable

from preforkpop.config.settings import Settings
from preforkpop.master import births
from preforkpop.master.children import Child, Children
from preforkpop.system.accounts import mail_group
from preforkpop.worker import state
from preforkpop.worker.repair import Repair

AT_ONCE = 4  # repairs that go on at the same time


class Repairs:
    """Users that wait for a repair."""

    def __init__(self, common: births.Common, children: Children) -> None:
        self._common = common
        self._children = children
        self._waiting: dict[str, Repair] = {}
        self._going_on = 0

    def after_a_death(self, settings: Settings, user: str, now: float) -> None:
        """A worker died in this user's session."""
        self._waiting[user] = repair_for(settings)
        self._refill(now)

    def after_a_start(self, settings: Settings, now: float) -> None:
        """Whatever sessions left that died with the last server."""
        repair = repair_for(settings)
        for user in state.unfinished(settings.service.state_dir):
            self._waiting[user] = repair
        self._refill(now)

    def _refill(self, now: float) -> None:
        while self._waiting and self._going_on < AT_ONCE:
            user = next(iter(self._waiting))
            run = self._run(self._waiting.pop(user), user)
            self._going_on += 1
            self._children.bear("repair", run, self._ended, now)

    def _run(self, repair: Repair, user: str) -> Callable[[], int]:
        return lambda: births.repair(self._common, repair, user)

    def _ended(self, _child: Child, _status: int, now: float) -> None:
        self._going_on -= 1
        self._refill(now)


def repair_for(settings: Settings) -> Repair:
    """What a repair needs to know of a configuration; SetupError without the mail group."""
    service = settings.service
    groups = mail_group(service.mail_group) if service.users == "system" else ()
    return Repair(service.state_dir, settings.maildrop, groups)
