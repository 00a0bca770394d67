"""scripts/run's demo: the first look at the server, by an ordinary user and by root."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.environment import OWN, ROOT, programs_for_everybody, scripts_for_everybody
from tests.support.processes import of_session
from tests.support.server import FAULTS, Lines
from tests.support.site import IS_ROOT, Deployment, as_account, nobody
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.peer("curl", "openssl")

AS_ROOT_TOO = [
    pytest.param(Deployment.VIRTUAL, marks=pytest.mark.root, id="root"),
    pytest.param(Deployment.ORDINARY, id="ordinary"),
]


class Demo:
    """A running demo, and what it and its server say."""

    def __init__(self, directory: Path, *, ordinary: bool) -> None:
        self.directory = directory
        self._identity: dict[str, Any] = as_account(*nobody()) if ordinary else {}
        programs = programs_for_everybody() if ordinary else OWN
        scripts = scripts_for_everybody() if ordinary else ROOT / "scripts"
        self._environment = {"PATH": os.defpath, "TMPDIR": str(directory), "HOME": str(directory)}
        self.process = subprocess.Popen(
            [str(programs / "python"), str(scripts / "demo.py")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env=self._environment,
            **self._identity,
        )
        assert self.process.stdout is not None
        self.lines = Lines(self.process.stdout)
        self.lines.wait(r" serves, pid \d+$")

    def proposed(self) -> list[str]:
        """The commands it tells to try."""
        return [line.strip() for line in self.lines.since() if line.startswith("    ")]

    def try_out(self, command: str, typed: bytes = b"") -> bytes:
        """Do what a person would; what it prints."""
        done = subprocess.run(
            shlex.split(command),
            input=typed,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
            env=self._environment,
            **self._identity,
        )
        assert done.returncode == 0, f"{command}: {done.stderr!r}"
        return bytes(done.stdout)

    def kill(self) -> None:
        """Leave nothing, whatever a test has done."""
        for one in of_session(self.process.pid):
            os.kill(one.pid, signal.SIGKILL)
        self.process.wait()
        self.lines.wait_end()


@pytest.fixture(params=AS_ROOT_TOO)
def demo(request: pytest.FixtureRequest) -> Iterator[Demo]:
    """The demo, when it serves."""
    directory = Path(tempfile.mkdtemp(prefix="preforkpop-test-"))
    directory.chmod(0o1777)
    made = Demo(directory, ordinary=request.param is Deployment.ORDINARY and IS_ROOT)
    yield made
    made.kill()
    shutil.rmtree(directory)


def test_what_it_proposes_works_and_ctrl_c_leaves_nothing(demo: Demo) -> None:
    count = int(re.findall(r"A demo maildrop of (\d+) messages", "\n".join(demo.lines.since()))[0])
    assert count >= 12
    listing, first, second, typing, status = demo.proposed()
    assert len(demo.try_out(listing).splitlines()) == count
    assert b"Subject: Welcome\r\n" in demo.try_out(first)
    assert b"Subject: Lines that begin with dots\r\n" in demo.try_out(second)
    said = demo.try_out(typing, b"USER demo\r\nPASS demo\r\nSTAT\r\nQUIT\r\n")
    assert b"+OK %d " % count in said
    assert b"serving" in demo.try_out(status)
    os.killpg(demo.process.pid, signal.SIGINT)  # what the terminal does at Ctrl-C
    assert demo.process.wait(PATIENCE) == 0
    wait_until(lambda: not of_session(demo.process.pid), "no process is left")
    lines = demo.lines.wait_end()
    assert lines[-1].endswith("stopped")
    assert not [line for line in lines if FAULTS.search(line) or "KeyboardInterrupt" in line]
    assert os.listdir(demo.directory) == []
