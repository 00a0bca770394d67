"""Birth and death of processes."""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from preforkpop.system import process


def status_of(pid: int) -> int:
    return os.waitpid(pid, 0)[1]


class TestFork:
    @pytest.mark.parametrize("status", [0, 1, 78])
    def test_the_child_ends_with_what_it_returned(self, status: int) -> None:
        assert os.waitstatus_to_exitcode(status_of(process.fork(lambda: status))) == status

    def test_a_fault_is_told_and_is_not_the_parents(self) -> None:
        reader, writer = os.pipe()

        def run() -> int:
            raise KeyError(b"fred\nforged")

        pid = process.fork(run, lambda line: os.write(writer, line.encode()) and None)
        os.close(writer)
        assert os.waitstatus_to_exitcode(status_of(pid)) == process.EXIT_FAILED
        with os.fdopen(reader) as file:
            told = file.read()
        assert told.startswith("ended by a fault: KeyError: b'fred")
        assert "(test_process.py:" in told
        assert "\n" not in told

    def test_a_fault_is_told_on_standard_error_where_there_is_no_log(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def run() -> int:
            raise SystemExit(3)

        status_of(process.fork(run))
        assert "ended by a fault: SystemExit" in capfd.readouterr().err

    def test_even_a_report_that_fails_does_not_let_the_child_return(self) -> None:
        def fail(*_arguments: object) -> int:
            raise RuntimeError

        assert os.waitstatus_to_exitcode(status_of(process.fork(fail, fail))) == 1

    def test_nothing_of_the_interpreter_is_torn_down_in_the_child(self, tmp_path: Path) -> None:
        path = tmp_path / "buffered"
        with path.open("w") as file:
            file.write("once\n")
            status_of(process.fork(lambda: 0))
        assert path.read_text() == "once\n"

    def test_the_child_handles_signals_by_default_and_has_the_parents_mask(self) -> None:
        before = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        try:

            def run() -> int:
                now = signal.pthread_sigmask(signal.SIG_BLOCK, ())
                assert now == {*mask, signal.SIGUSR1}
                os.kill(os.getpid(), signal.SIGTERM)
                return 0

            assert process.death_text(status_of(process.fork(run))) == "signal SIGTERM"
            assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == {*mask, signal.SIGUSR1}
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            signal.signal(signal.SIGTERM, before)


class TestLimits:
    def in_child(self, run: object) -> int:
        return os.waitstatus_to_exitcode(status_of(process.fork(run)))  # type: ignore[arg-type]

    def test_descriptors_up_to_the_hard_limit(self) -> None:
        def run() -> int:
            _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
            assert process.raise_descriptor_limit() == hard
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
            return 0

        assert self.in_child(run) == 0

    def test_no_core_dumps(self) -> None:
        def run() -> int:
            process.forbid_core_dumps()
            assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
            return 0

        assert self.in_child(run) == 0


def test_what_ps_shows() -> None:
    reader, writer = os.pipe()

    def run() -> int:
        process.title("worker, fred from 192.0.2.7 [RETR 12]")
        os.write(writer, Path("/proc/self/cmdline").read_bytes())
        return 0

    status_of(process.fork(run))
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read().rstrip(b"\0") == b"preforkpop: worker, fred from 192.0.2.7 [RETR 12]"


def test_deaths_in_words() -> None:
    assert process.death_text(0) == "exit 0"
    assert process.death_text(78 << 8) == "exit 78"
    assert process.death_text(signal.SIGKILL) == "signal SIGKILL"
    assert process.death_text(signal.SIGSEGV | 0x80) == "signal SIGSEGV"
    assert process.death_text(40) == "signal 40"
    assert sys.platform == "linux"
