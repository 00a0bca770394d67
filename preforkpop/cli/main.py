"""The console script ``preforkpop``: finds the sub-command, runs it, reports how it failed.

Runs as whoever calls it. A command's module is imported when that command runs and not before:
``inetd`` starts once for each connection, and ``serve`` forks from what it has imported.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from preforkpop.cli.command import CommandError, program_version
from preforkpop.config.faults import ConfigError
from preforkpop.system.process import EXIT_CONFIG, EXIT_FAILED

if TYPE_CHECKING:
    from argparse import _SubParsersAction

INTERRUPTED: Final = 130  # 128 + SIGINT, as a shell says it


class Command(NamedTuple):
    """One sub-command: its module below ``preforkpop.cli`` has the same name."""

    name: str
    help: str


COMMANDS: Final = (
    Command("serve", "run the server"),
    Command("inetd", "serve the one connection on standard input, for inetd, xinetd or systemd"),
    Command("config", "check or show the configuration"),
    Command("status", "how the running server does"),
    Command("who", "who is being served"),
    Command("stop", "stop the running server"),
    Command("reload", "make the running server read its configuration and certificates again"),
    Command("repair", "put maildrops right whose session died"),
    Command("passwd", "hash a password for a passwd-file"),
)


class Module(Protocol):
    """What the module of a command offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's own arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; the exit status."""


class _Version(argparse.Action):
    """``--version``."""

    def __call__(self, parser: argparse.ArgumentParser, *_unused: Any) -> None:
        print(f"preforkpop {program_version()}")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command: 0 done, 1 failed, 2 wrong use (by argparse), 78 bad configuration."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        status = _run(words)
        _flush()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except CommandError as error:
        return _failed(str(error))
    except BrokenPipeError:
        _forget_output()
        return EXIT_FAILED
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _failed(f"{name}{error.strerror or error}")
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _run(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="preforkpop", description="A POP3 server for Unix mail spools and Maildirs."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands: _SubParsersAction[argparse.ArgumentParser] = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True
    )
    # No option before the command has a value, so the first word that is no option is the command.
    name = next((word for word in words if not word.startswith("-")), "")
    module: Module | None = None
    for command in COMMANDS:
        chosen = commands.add_parser(command.name, help=command.help, description=command.help)
        if command.name == name:
            module = importlib.import_module(f"preforkpop.cli.{name}")
            module.add_arguments(chosen)
    arguments = parser.parse_args(words)
    assert module is not None  # argparse has refused every other word
    return module.run(arguments)


def _failed(text: str) -> int:
    print(f"preforkpop: {text}", file=sys.stderr)
    return EXIT_FAILED


def _flush() -> None:
    """Write what was printed while a failure can still be told."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _forget_output() -> None:
    """Whoever read the output has gone; the interpreter must not complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, 1)
    os.close(nowhere)
