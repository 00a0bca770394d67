"""Leases: how the listener learns that a session has ended, whoever held it.

A lease is a pipe. Its writing end travels with the session from process to process; nothing is
ever written. When the last holder has closed it, or died with it, even by SIGKILL, the reading end
that the listener keeps reports the end.
"""

from __future__ import annotations

import os


def grant() -> tuple[int, int]:
    """A new lease: the end to watch, and the end that travels."""
    return os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
