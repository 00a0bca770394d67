"""Which descriptors a child keeps."""

from __future__ import annotations

import os

from preforkpop.system import process
from preforkpop.system.descriptors import keep_only


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_everything_but_the_named_ones_is_closed() -> None:
    kept, closed = os.pipe(), os.pipe()

    def child() -> int:
        keep_only((kept[1],))
        open_ones = {int(name) for name in os.listdir("/proc/self/fd")}
        expected = {0, 1, 2, kept[1]}
        os.write(kept[1], b"ok" if open_ones - expected <= {max(open_ones)} else b"no")
        return 0 if closed[0] not in open_ones else 1

    pid = process.fork(child)
    _, status = os.waitpid(pid, 0)
    assert status == 0
    for descriptor in (*kept, *closed):
        os.close(descriptor)
