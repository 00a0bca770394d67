"""The pid file, which also keeps a second master from starting.

Run by the master (root when started as root). The file is locked as long as the master lives, so a
pid file that a crash left behind is harmless.
"""

from __future__ import annotations

import fcntl
import os


class RunningError(Exception):
    """Another master serves this run directory; the text names its pid."""


class PidFile:
    """``run_dir/preforkpop.pid``."""

    def __init__(self, run_dir: str) -> None:
        self.path = f"{run_dir}/preforkpop.pid"
        self._descriptor = os.open(
            self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
        )
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise RunningError(f"{self.path}: a server is running already, pid {pid}") from None

    def write(self) -> None:
        """Put this process's pid in; called when it will not fork to the background any more."""
        os.fchmod(self._descriptor, 0o644)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def remove(self) -> None:
        """The server ends."""
        os.unlink(self.path)
        os.close(self._descriptor)
