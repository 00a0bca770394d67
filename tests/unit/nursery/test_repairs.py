"""Which maildrops are repaired, and how many at a time."""

from __future__ import annotations

import time
from pathlib import Path

from preforkpop.nursery.repairs import AT_ONCE, Repairs
from preforkpop.supervision.children import Children


class Site:
    """Repairs that each leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "users").mkdir()
        (path / "done").mkdir()
        self.children = Children(lambda _line: None)
        self.repairs = Repairs(str(path), self.children, self._repair)

    def _repair(self, user: str) -> int:
        (self.path / "done" / user).touch()
        return 0

    def user(self, name: str, *, unfinished: bool) -> None:
        (self.path / "users" / name).mkdir()
        if unfinished:
            (self.path / "users" / name / "journal").touch()

    def done(self) -> set[str]:
        deadline = time.monotonic() + 30
        while len(self.children):
            assert time.monotonic() < deadline
            self.children.reap(0.0)
        return {one.name for one in (self.path / "done").iterdir()}


def test_a_start_repairs_what_was_left_unfinished_and_nothing_else(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.user("ann", unfinished=True)
    site.user("bob", unfinished=False)
    site.repairs.after_a_start(0.0)
    assert site.done() == {"ann"}


def test_a_death_repairs_its_users_maildrop(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.repairs.after_a_death("bob", 0.0)
    assert site.done() == {"bob"}


def test_many_are_repaired_a_few_at_a_time(tmp_path: Path) -> None:
    site = Site(tmp_path)
    names = {f"user{number}" for number in range(3 * AT_ONCE)}
    for name in names:
        site.user(name, unfinished=True)
    site.repairs.after_a_start(0.0)
    assert len(site.children) == AT_ONCE
    assert site.done() == names
