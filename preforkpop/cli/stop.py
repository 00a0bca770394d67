"""``preforkpop stop``: stop the running server and wait until it has ended.

Run by the administrator, as root or as the account that runs the server.
"""

from __future__ import annotations

import argparse
import os
import select

from preforkpop.cli.client import ask
from preforkpop.cli.command import CommandError, add_config

MARGIN = 15.0  # seconds beyond the grace in which a stop has to be done


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument(
        "--now", action="store_true", help="end sessions between two commands, without the grace"
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask the master to end and wait for its death."""
    status = ask(arguments.config, "status")
    pid, grace = status["pid"], 0.0 if arguments.now else status["shutdown_grace"]
    master = os.pidfd_open(pid)
    ask(arguments.config, "stop", now=arguments.now)
    poller = select.poll()
    poller.register(master, select.POLLIN)
    if not poller.poll((grace + MARGIN) * 1000):
        raise CommandError(f"the server (pid {pid}) has not ended after {grace + MARGIN:.0f} s")
    return 0
