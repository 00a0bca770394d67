"""How the C library's allocator treats the memory of messages.

Called once by the master, and by inetd mode; children inherit it. By default glibc gives large
blocks back to the kernel as soon as they are free and gets them again, page fault by page fault,
for the next message: more than half of what sending a message costs. Keeping up to ``KEPT`` octets
that are free makes a RETR twice as fast. Pieces of messages are bounded, so a process does not keep
more than a few of them.
"""

from __future__ import annotations

import ctypes
from typing import Final

KEPT: Final = 8 * 2**20
"""Octets at the top of the heap that stay with the process when they are free."""

LARGEST: Final = 32 * 2**20
"""Blocks up to this size come from the heap; the most that glibc takes (mallopt(3))."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_freed_memory() -> None:
    """Tell the allocator; a C library without mallopt goes on as it is."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, KEPT)
        mallopt(_M_MMAP_THRESHOLD, LARGEST)
