"""Signals to workers, which are the nursery's children and not the master's.

Run by the master (root when started as root). A worker's pid comes from the scoreboard and may be
out of date, or wrong: workers write it, and other processes could. So it is held fast, looked at,
and only then signalled.
"""

from __future__ import annotations

import os
import signal

import psutil

TITLE = "preforkpop: worker"


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal if the process is a worker; one that is not, or has ended, gets none."""
    try:
        process = os.pidfd_open(pid)
    except (ProcessLookupError, OSError):
        return
    try:
        if " ".join(psutil.Process(pid).cmdline()).startswith(TITLE):
            signal.pidfd_send_signal(process, number)
    except (psutil.Error, ProcessLookupError):
        return
    finally:
        os.close(process)
