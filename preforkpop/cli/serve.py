"""``preforkpop serve``: run the server, in the foreground or as a daemon.

The process that calls this becomes the master. A daemon's caller waits, and ends with success only
when the server serves; what went wrong before that it prints.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from preforkpop.cli.checked import checked
from preforkpop.cli.command import CommandError, add_config, program_version
from preforkpop.config.faults import ConfigError, Fault
from preforkpop.config.settings import Settings
from preforkpop.config.surroundings import Surroundings
from preforkpop.master.main import Master, UnusableError
from preforkpop.master.pidfile import RunningError
from preforkpop.system.accounts import SetupError
from preforkpop.system.process import EXIT_CONFIG, EXIT_FAILED, EXIT_OK
from preforkpop.system.sockets import AddressError

_SERVES: Final = b"serves"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument(
        "--daemon", action="store_true", help="go to the background when the server serves"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    path = os.path.abspath(arguments.config) if arguments.config else None
    terminal = not arguments.daemon and sys.stderr is not None and sys.stderr.isatty()
    start = _Start(path, Surroundings.here(terminal=terminal))
    return start.in_background() if arguments.daemon else start.in_foreground()


class _StartError(Exception):
    """The server cannot start; the exit status and the line that says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    def tell(self) -> int:
        print(f"preforkpop: {self}", file=sys.stderr)
        return self.status


class _Start:
    """One start: the configuration, and how it is read again at a reload."""

    def __init__(self, path: str | None, surroundings: Surroundings) -> None:
        """ConfigError when the configuration cannot be used."""
        self._path = path
        self._surroundings = surroundings
        self._settings, self._warnings = checked(path, surroundings)

    def in_foreground(self) -> int:
        """Serve; the exit status."""
        try:
            return self._serve(lambda: None)
        except _StartError as error:
            return error.tell()

    def in_background(self) -> int:
        """Fork, wait for what the daemon says, and tell it."""
        told, tell = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            os.close(told)
            self._become_daemon(tell)
        os.close(tell)
        os.waitpid(pid, 0)
        with open(told, "rb") as pipe:
            words = pipe.read()
        if words == _SERVES:
            return EXIT_OK
        status, _, text = words.partition(b"\n")
        if not status:
            raise CommandError("the server ended before it served; its log says why")
        return _StartError(int(status), text.decode()).tell()

    def _become_daemon(self, tell: int) -> None:
        """In the child: detach, serve, and end without going back into the caller's code."""
        import daemon

        status = EXIT_FAILED

        def ready() -> None:
            os.write(tell, _SERVES)
            os.close(tell)

        try:
            daemon.DaemonContext(
                files_preserve=[tell], umask=0o077, detach_process=True, signal_map={}
            ).open()
            status = self._serve(ready)
        except _StartError as error:
            status = error.status
            os.write(tell, b"%d\n%b" % (status, str(error).encode()))
        finally:
            os._exit(status)

    def _serve(self, ready: Callable[[], None]) -> int:
        try:
            master = Master(self._settings, self._load, program_version())
        except SetupError as error:
            raise _StartError(EXIT_CONFIG, str(error)) from error
        except (AddressError, RunningError) as error:
            raise _StartError(EXIT_FAILED, str(error)) from error
        except OSError as error:
            raise _StartError(EXIT_FAILED, f"{error.filename or ''}: {error.strerror}") from error
        for warning in self._warnings:
            master.log.warning(str(warning))
        return master.run(ready)

    def _load(self) -> tuple[Settings, Sequence[Fault]]:
        """Read the configuration again, for a reload."""
        try:
            return checked(self._path, self._surroundings)
        except ConfigError as error:
            raise UnusableError(str(error)) from error
