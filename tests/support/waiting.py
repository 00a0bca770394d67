"""Waiting for something that happens in another process, never longer than said."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 30.0
"""Seconds after which a test fails because something has not happened; far above what it takes."""

PAUSE = 0.005

_T = TypeVar("_T")


def wait_until(condition: Callable[[], _T], what: str, seconds: float = PATIENCE) -> _T:
    """Look again and again until the condition gives something; that. Fails after the time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(PAUSE)
    return found
