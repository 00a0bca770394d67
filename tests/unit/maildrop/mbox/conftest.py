"""A spool for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.maildrop.mbox.helpers import Box, join, message

STORED = [message(number) for number in range(1, 7)]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """Six messages."""
    return Box(tmp_path, join(STORED))


@pytest.fixture
def empty(tmp_path: Path) -> Box:
    """No spool file."""
    return Box(tmp_path)
