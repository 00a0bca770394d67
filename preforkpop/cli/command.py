"""What the administrator's commands share: options of one name everywhere, and how they fail.

A command is a module with ``add_arguments(parser)`` and ``run(arguments) -> int``; ``main`` has the
table of them and turns what they raise into one line and an exit status.
"""

from __future__ import annotations

import argparse

from preforkpop.config.reader import DEFAULT_PATH


class CommandError(Exception):
    """A command cannot do what it was asked; the text is the line that the administrator reads."""


def program_version() -> str:
    """The version of the installed package (reading its metadata takes 20 ms)."""
    from importlib.metadata import version

    return version("preforkpop")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Let a command take ``--config FILE``; None in ``arguments.config`` without it."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=f"configuration file (default: {DEFAULT_PATH} if there is one)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Let a command that prints data take ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
