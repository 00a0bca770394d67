"""An update that is killed, or gets an error, at each of its system calls.

A session that removes messages runs under strace, which lets the N-th call of one kind fail or
kills the process there; N goes from the first to the last call. Then another session is opened.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from preforkpop.maildrop.mbox import index
from tests.unit.maildrop.mbox.helpers import Box, join, message

Call = tuple[str, str]  # name, the rest of the line

DRIVER = Path(__file__).with_name("driver.py")
CAMPAIGN = bool(os.environ.get("PREFORKPOP_CAMPAIGN"))

CALLS = {
    "write": ["ENOSPC", "EDQUOT", "EIO"],
    "pwrite64": ["ENOSPC", "EDQUOT", "EIO"],
    "fsync": ["EIO", "ENOSPC", "EDQUOT"],
    "fdatasync": ["EIO", "ENOSPC", "EDQUOT"],
    "ftruncate": ["EIO", "EDQUOT", "ENOSPC"],
    "rename": ["ENOSPC", "EIO", "EDQUOT"],
    "unlink": ["EIO", "EDQUOT", "ENOSPC"],
    "openat": ["ENOSPC", "EIO", "EDQUOT"],
    "linkat": ["EDQUOT", "ENOSPC", "EIO"],
    "utimensat": ["EIO", "EDQUOT", "ENOSPC"],
    "pread64": ["EIO"],
    "read": ["EIO"],
    "link": [],
    "copy_file_range": [],
    "sendfile": [],
    "renameat2": [],
}
"""Every call that a session changes files with, and some that it reads with. Those of the last
lines are not made; if they ever are, ``test_every_call_is_known`` says so."""

FAULTS = 4 if CAMPAIGN else 2  # of each call: killed there, and so many errors less one


@dataclass(frozen=True)
class Scenario:
    """What a session removes of which messages."""

    stored: list[bytes]
    deleted: set[int]
    window: int = 1 << 24
    indexed: bool = True  # whether a session was there before

    @property
    def kept(self) -> list[int]:
        return [one for one in range(1, len(self.stored) + 1) if one not in self.deleted]


COPY = message(3, b"the same\n")
FIVE = [message(1), COPY, message(2, b"longer\n" * 20), COPY, message(5)]
SCENARIOS = {
    "moved at once": Scenario(FIVE, {2}),
    "all": Scenario(FIVE, {1, 2, 3, 4, 5}, indexed=False),
}
MORE = {
    "moved in windows": Scenario(FIVE, {1, 4}, window=150, indexed=False),
    "the last": Scenario(FIVE, {4, 5}),
}
if CAMPAIGN:
    SCENARIOS |= MORE


@pytest.fixture
def box(quick_path: Path) -> Box:
    return Box(quick_path)


def prepare(box: Box, scenario: Scenario) -> list[bytes]:
    """Put the maildrop into its first state; the unique-ids."""
    for path in box.state.iterdir():
        path.unlink()
    box.write(join(scenario.stored))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "settled", lambda status, now: True)
        ids = box.unique_ids()
    if not scenario.indexed:
        (box.state / index.NAME).unlink()
    return ids


def run(box: Box, scenario: Scenario, *options: str) -> str:
    """Run the session under strace; what it said."""
    command = ["strace", "-f", "--seccomp-bpf", *options, sys.executable, "-IBS", str(DRIVER)]
    command += [str(box.path), str(box.state), str(scenario.window)]
    command += map(str, scenario.deleted)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


def traced(box: Box, scenario: Scenario, calls: str) -> tuple[list[Call], list[Call]]:
    """The calls of a session that nothing happens to: before it begins, and its own."""
    log = box.directory / "log"
    said = run(box, scenario, "-o", str(log), f"-etrace=write,{calls}")
    assert said == "begin\nopened\ndone\n"
    found = re.findall(r"^\d+ +(\w+)\((.*)", log.read_text(), re.MULTILINE)
    begin = next(at for at, (_, arguments) in enumerate(found) if '"begin' in arguments)
    return found[: begin + 1], found[begin + 1 :]


def check(box: Box, scenario: Scenario, ids: list[bytes], said: str) -> None:
    """Assert that the next session finds the old mail or the new, whole, under the same ids."""
    octets = box.read_after_login()
    kept = [scenario.stored[one - 1] for one in scenario.kept]
    if octets == join(kept):
        assert box.contents() == kept
        assert box.unique_ids() == [ids[one - 1] for one in scenario.kept]
    else:
        assert "done" not in said
        assert octets == join(scenario.stored)
        assert box.contents() == scenario.stored
        assert box.unique_ids() == ids
    assert box.left_over() == []


def faults(call: str) -> Iterator[str]:
    if CAMPAIGN or "read" not in call:  # to die in a read is to die behind the write before it
        yield "signal=SIGKILL"
    for error in CALLS[call][: FAULTS - 1]:
        yield f"error={error}"


@pytest.mark.peer
@pytest.mark.parametrize("call", [call for call in CALLS if CALLS[call]])
@pytest.mark.parametrize("name", SCENARIOS)
def test_old_mail_or_new_mail(box: Box, name: str, call: str) -> None:
    scenario = SCENARIOS[name]
    prepare(box, scenario)
    imports, session = traced(box, scenario, call)
    before = sum(made == call for made, _ in imports)
    own = [arguments for made, arguments in session if made == call]
    for turn, arguments in enumerate(own, before + 1):
        if call == "write" and arguments.startswith("1,"):
            continue
        for fault in faults(call):
            ids = prepare(box, scenario)
            said = run(box, scenario, "-o", "/dev/null", f"-einject={call}:{fault}:when={turn}")
            killed = fault.startswith("signal")
            assert ("done" in said or "failed" in said) != killed, said
            check(box, scenario, ids, said)


@pytest.mark.peer
def test_every_call_is_known(box: Box) -> None:
    """A call that changes files and is not in the table would never be broken."""
    made: set[str] = set()
    for scenario in [*SCENARIOS.values(), *MORE.values()]:
        prepare(box, scenario)
        made |= {call for call, _ in traced(box, scenario, "%desc,%file")[1]}
    harmless = {"access", "close", "fcntl", "flock", "ioctl", "lseek", "mmap", "newfstatat"}
    assert made - harmless <= {call for call in CALLS if CALLS[call]}
