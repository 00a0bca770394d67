"""``preforkpop reload``: have the configuration and certificates read again.

Run by the administrator. A configuration that cannot be used is refused and the old one stays.
"""

from __future__ import annotations

import argparse

from preforkpop.cli.client import ask
from preforkpop.cli.command import add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for it; the master says why it refused."""
    ask(arguments.config, "reload")
    return 0
