"""What a test needs of the machine, and what becomes of those that cannot run: a pytest plugin.

``@pytest.mark.root`` needs root, ``@pytest.mark.peer("curl", ...)`` programs of Debian's. A test
that cannot run is left out, and the end of the run lists it with the reason. With
PREFORKPOP_NO_SKIPS=1, where the machine is known to have everything, that fails the run.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from typing import Final

import pytest

FORBIDDEN: Final = "PREFORKPOP_NO_SKIPS"


def missing(item: pytest.Item) -> str:
    """Why a test cannot run here; "" when it can."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        return "needs root"
    programs = {name for mark in item.iter_markers("peer") for name in mark.args}
    absent = sorted(name for name in programs if not find(name))
    return f"needs {', '.join(absent)}" if absent else ""


def find(program: str) -> str | None:
    """Where a program is; system programs are not in everybody's path."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


class LeftOut:
    """Collects what was skipped, for whatever reason and in whatever phase."""

    def __init__(self, *, forbidden: bool) -> None:
        self._forbidden = forbidden
        self._tests: dict[str, list[str]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Leave a test out that cannot run here."""
        reason = missing(item)
        if reason:
            pytest.skip(reason)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of a test."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._note(report.nodeid, report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take note of a file."""
        if report.skipped:
            self._note(report.nodeid, report.longrepr)

    def _note(self, name: str, why: object) -> None:
        reason = why[2] if isinstance(why, tuple) else str(why)
        self._tests.setdefault(reason.removeprefix("Skipped: "), []).append(name)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Where nothing may be left out, that is a failure."""
        if self._tests and self._forbidden and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List what was left out, by reason."""
        if not self._tests:
            return
        fails = f"left out, which {FORBIDDEN} makes a failure"
        terminalreporter.section(fails if self._forbidden else "left out")
        for reason, names in sorted(self._tests.items()):
            terminalreporter.write_line(f"{reason}:")
            for name, count in Counter(name.partition("[")[0] for name in names).items():
                times = f" ({count} times)" if count > 1 else ""
                terminalreporter.write_line(f"    {name}{times}")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to collect."""
    config.pluginmanager.register(LeftOut(forbidden=os.environ.get(FORBIDDEN) == "1"))
