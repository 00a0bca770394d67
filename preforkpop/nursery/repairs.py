"""Repairs of the maildrops of sessions that died: at once, and at the start those of a power cut.

Run by the nursery (root with system users), which forks a process for each: it becomes the user
before it looks at the maildrop. Who logs in meanwhile repairs it too, so nothing waits for this.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from preforkpop.supervision.children import Child, Children
from preforkpop.worker import state

AT_ONCE = 4  # repairs that go on at the same time


class Repairs:
    """Users that wait for a repair; ``run`` does one, in a child."""

    def __init__(self, state_dir: str, children: Children, run: Callable[[str], int]) -> None:
        self._state_dir = state_dir
        self._children = children
        self._run = run
        self._waiting: dict[str, None] = {}
        self._going_on = 0

    def after_a_death(self, user: str, now: float) -> None:
        """A worker died in this user's session."""
        self._waiting[user] = None
        self._refill(now)

    def after_a_start(self, now: float) -> None:
        """Whatever sessions left that died with an earlier server."""
        self._waiting.update(dict.fromkeys(state.unfinished(self._state_dir)))
        self._refill(now)

    def _refill(self, now: float) -> None:
        while self._waiting and self._going_on < AT_ONCE:
            user = next(iter(self._waiting))
            del self._waiting[user]
            self._going_on += 1
            self._children.bear("repair", partial(self._run, user), self._ended, now)

    def _ended(self, _child: Child, _status: int, now: float) -> None:
        self._going_on -= 1
        self._refill(now)
