"""What is left out is listed, and fails the run where nothing may be left out."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.support import skips

RUNS = "def test_runs():\n    pass\n"
ABSENT = """
import pytest

@pytest.mark.peer("sh", "no-such-program")
def test_absent():
    assert False
"""


@pytest.fixture
def run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    """Run pytest on texts of tests; its exit status and what it prints."""

    def run(*texts: str, forbidden: bool) -> tuple[int, str]:
        monkeypatch.setenv(skips.FORBIDDEN, "1" if forbidden else "0")
        pytester.makepyfile(**{f"test_{number}": text for number, text in enumerate(texts)})
        done = pytester.runpytest_inprocess("-p", "tests.support.skips")
        return int(done.ret), done.stdout.str()

    return run


def test_a_missing_program_leaves_a_test_out_with_the_reason(
    run: Callable[..., tuple[int, str]],
) -> None:
    status, text = run(RUNS, ABSENT, forbidden=False)
    assert status == 0
    assert "needs no-such-program:\n    test_1.py::test_absent\n" in text


@pytest.mark.parametrize(
    "text",
    [
        ABSENT,
        "import pytest\ndef test_it():\n    pytest.skip('not today')\n",
        "import pytest\n@pytest.mark.skip(reason='not today')\ndef test_it():\n    pass\n",
        "import pytest\npytest.skip('not today', allow_module_level=True)\n",
    ],
    ids=["peer", "skip", "mark", "module"],
)
@pytest.mark.parametrize("forbidden", [False, True])
def test_where_nothing_may_be_left_out_that_fails_the_run(
    run: Callable[..., tuple[int, str]], text: str, forbidden: bool
) -> None:
    status, printed = run(RUNS, text, forbidden=forbidden)
    assert status == forbidden
    assert ("makes a failure" in printed) is forbidden
    assert "test_1.py" in printed.partition("left out")[2]


def test_a_run_without_skips_is_none_of_its_business(run: Callable[..., tuple[int, str]]) -> None:
    status, text = run(RUNS, forbidden=True)
    assert status == 0
    assert "left out" not in text


def test_only_root_runs_what_needs_root(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = request.node
    item.add_marker(pytest.mark.root)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert skips.missing(item) == "needs root"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert skips.missing(item) == ""
