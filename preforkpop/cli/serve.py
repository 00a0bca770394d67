"""``preforkpop serve``: run the server, in the foreground or as a daemon.

The process that calls this becomes the master. A daemon's caller waits, and ends with success only
when the server serves; what went wrong before that it prints.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from preforkpop.cli.command import CommandError, add_config
from preforkpop.config import reader
from preforkpop.config.faults import ConfigError
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
    terminal = not arguments.daemon and sys.stderr is not None and sys.stderr.isatty()
    surroundings = Surroundings.here(terminal=terminal)
    settings = reader.read(arguments.config, surroundings).settings

    def load() -> Settings:
        try:
            return reader.read(arguments.config, surroundings).settings
        except ConfigError as error:
            raise UnusableError(str(error)) from error

    if arguments.daemon:
        return _in_background(settings, load)
    try:
        return _serve(settings, load, lambda: None)
    except _StartError as error:
        return error.tell()


class _StartError(Exception):
    """The server cannot start; the exit status and the line that says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    def tell(self) -> int:
        print(f"preforkpop: {self}", file=sys.stderr)
        return self.status


def _serve(settings: Settings, load: Callable[[], Settings], ready: Callable[[], None]) -> int:
    try:
        master = Master(settings, load, version("preforkpop"))
    except SetupError as error:
        raise _StartError(EXIT_CONFIG, str(error)) from error
    except (AddressError, RunningError) as error:
        raise _StartError(EXIT_FAILED, str(error)) from error
    except OSError as error:
        raise _StartError(EXIT_FAILED, f"{error.filename or ''}: {error.strerror}") from error
    return master.run(ready)


def _in_background(settings: Settings, load: Callable[[], Settings]) -> int:
    """Fork, wait for what the daemon says, and tell it."""
    told, tell = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(told)
        _become_daemon(tell, settings, load)
    os.close(tell)
    os.waitpid(pid, 0)
    words = b"".join(iter(lambda: os.read(told, 4096), b""))
    os.close(told)
    if words == _SERVES:
        return EXIT_OK
    status, _, text = words.partition(b"\n")
    if not status:
        raise CommandError("the server ended before it served; its log says why")
    return _StartError(int(status), text.decode()).tell()


def _become_daemon(tell: int, settings: Settings, load: Callable[[], Settings]) -> None:
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
        status = _serve(settings, load, ready)
    except _StartError as error:
        status = error.status
        os.write(tell, b"%d\n%b" % (status, str(error).encode()))
    finally:
        os._exit(status)
