"""Birth and death of processes: fork, descriptor hygiene, titles, limits.

Used by the master, by login's parent and by the children they make.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

import setproctitle

from preforkpop.system.log import escape

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h


def title(text: str) -> None:
    """What ps shows: "preforkpop: worker, fred from 192.0.2.7 [RETR 12]"."""
    setproctitle.setproctitle("preforkpop: " + text)


def fork(run: Callable[[], int], on_error: Callable[[str], None] | None = None) -> int:
    """Fork a child that runs ``run`` and ends with its result; the pid in the parent.

    The child never returns into the parent's code: whatever happens in it, it ends by
    ``os._exit``, without the interpreter's tear-down. Signals are blocked across the fork, so that
    none is handled by the child with the parent's handlers.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _child(run, on_error, blocked)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return pid


def fork_lean(run: Callable[[], int], on_error: Callable[[str], None] | None = None) -> int:
    """Fork as ``fork`` does, without its care for signals, which costs a tenth of a session.

    For a parent whose handlers do nothing but wake its own loop: a signal that comes before the
    child has set its own handlers is lost on it.
    """
    pid = os.fork()
    if pid == 0:
        _live(run, on_error)
    return pid


def _child(
    run: Callable[[], int],
    on_error: Callable[[str], None] | None,
    blocked: set[signal.Signals | int],
) -> NoReturn:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    _live(run, on_error)


def _live(run: Callable[[], int], on_error: Callable[[str], None] | None) -> NoReturn:
    """In a child: all its life, up to its end."""
    status = EXIT_FAILED
    try:
        signal.set_wakeup_fd(-1)
        status = run()
    except BaseException as error:
        text = escape("".join(traceback.format_exception_only(error)).strip(), 256)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        line = f"ended by a fault: {text} ({os.path.basename(frame.filename)}:{frame.lineno})"
        if on_error is None:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - there is no log here
        else:
            on_error(line)
    finally:
        os._exit(status)


def raise_descriptor_limit() -> int:
    """Let this process have as many descriptors as the hard limit allows; the new limit.

    Descriptors that are under way between processes count against it too (unix(7)).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = hard if hard != resource.RLIM_INFINITY else max(soft, 1048576)
    if want > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, hard))
    return want


def forbid_core_dumps() -> None:
    """Secrets and mail must not be left in core files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def death_text(status: int) -> str:
    """A wait status in words: "exit 1" or "signal SIGKILL"."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return f"signal {signal.Signals(number).name}"
        except ValueError:
            return f"signal {number}"
    return f"exit {os.waitstatus_to_exitcode(status)}"
