"""Which descriptors a child keeps.

Used by children of the master and of login's parent, right after the fork.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

_STANDARD = 3


def keep_only(descriptors: Iterable[int]) -> None:
    """Close every descriptor but standard input, output, error and these.

    Ends of the pipeline that are left open in a process that has no business with them would keep
    others from ever seeing that their peer has gone.
    """
    first = _STANDARD
    for descriptor in sorted(set(descriptors)):
        if descriptor >= first:
            os.closerange(first, descriptor)
            first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
