"""``preforkpop repair``: put maildrops right whose session died, or say what would be done.

Run by the administrator, as root where the server is, with or without a server running: a maildrop
that a session has is left alone. The server does the same by itself when a worker dies, when it
starts, and at each login; this is for who wants to know, or has no server running.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from preforkpop.cli.command import add_config
from preforkpop.config import reader
from preforkpop.maildrop.base import MaildropError
from preforkpop.system import process
from preforkpop.system.accounts import mail_group
from preforkpop.worker import state
from preforkpop.worker.repair import Repair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument(
        "user", nargs="*", help="whose maildrop; without any, all that a session left unfinished"
    )


def run(arguments: argparse.Namespace) -> int:
    """Repair one after another, each as its user; 1 when one of them failed."""
    settings = reader.load(arguments.config)
    service = settings.service
    groups = mail_group(service.mail_group) if service.users == "system" else ()
    repair = Repair(service.state_dir, settings.maildrop, groups)
    users = arguments.user or state.unfinished(settings.service.state_dir)
    act = repair.plan if arguments.dry_run else repair.carry_out
    failed = 0
    for user in users:
        pid = process.fork(lambda name=user: _tell(name, act))  # type: ignore[misc]
        failed += os.waitpid(pid, 0)[1] != 0
    if not users:
        print("nothing to repair")
    return process.EXIT_FAILED if failed else process.EXIT_OK


def _tell(user: str, act: Callable[[str], list[str]]) -> int:
    """In a child: do it, and print a line for each thing."""
    try:
        lines = act(user)
    except MaildropError as error:
        print(f"{user}: {error.detail}", file=sys.stderr, flush=True)
        return process.EXIT_FAILED
    except (state.StateError, OSError) as error:
        print(f"{user}: {error}", file=sys.stderr, flush=True)
        return process.EXIT_FAILED
    for line in lines or ["nothing to repair"]:
        print(f"{user}: {line}", flush=True)
    return process.EXIT_OK
