"""The allocator's bounds."""

from __future__ import annotations

import os
import resource

from preforkpop.system import process
from preforkpop.system.memory import keep_freed_memory

SIZE = 2**20


def page_faults_of_a_message() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        bytes(SIZE).replace(b"\0", b"\1\2")
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_memory_of_one_message_serves_the_next() -> None:
    def child() -> int:
        keep_freed_memory()
        page_faults_of_a_message()
        return min(page_faults_of_a_message(), 100)

    _, status = os.waitpid(process.fork(child), 0)
    assert os.waitstatus_to_exitcode(status) < 50  # without it, 256 for each of 50 messages
