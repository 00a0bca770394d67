"""``preforkpop who``: who is being served. Run by the administrator."""

from __future__ import annotations

import argparse
import json

from preforkpop.cli.client import ask
from preforkpop.cli.command import add_config, add_json
from preforkpop.system.log import escape


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print a line a session."""
    sessions = ask(arguments.config, "who")["sessions"]
    if arguments.json:
        print(json.dumps(sessions))
        return 0
    if not sessions:
        print("nobody is logged in")
        return 0
    print(f"{'PID':>7} {'USER':<20} {'FROM':<25} {'TLS':<3} {'SINCE':>8} {'IDLE':>8} DOING")
    for one in sessions:
        doing = f"{one['command']} {one['message'] or ''}".strip() or one["state"]
        print(
            f"{one['pid']:>7} {escape(one['user'], 20):<20} {escape(one['peer'], 45) or '-':<25}"
            f" {'yes' if one['tls'] else 'no':<3} {one['since']:>6.0f} s {one['idle']:>6.0f} s"
            f" {escape(doing, 40)}"
        )
    return 0
