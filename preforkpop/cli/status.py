"""``preforkpop status``: how the running server does. Run by the administrator."""

from __future__ import annotations

import argparse
import json

from preforkpop.cli.client import ask
from preforkpop.cli.command import add_config, add_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the numbers."""
    found = ask(arguments.config, "status")
    if arguments.json:
        print(json.dumps(found))
        return 0
    workers, login, auth = found["workers"], found["login"], found["auth"]
    state = "stopping" if found["stopping"] else "serving"
    print(
        f"preforkpop {found['version']}, pid {found['pid']}, {state}, up {_span(found['uptime'])}"
    )
    print(f"listeners    {' '.join(found['listeners'])}, {found['accepted']} connections so far")
    print(f"login        {login['processes']} processes, {login['connections']} connections")
    print(
        f"auth         {auth['processes']} processes, {auth['logins']} logins,"
        f" {auth['failures']} failures"
    )
    print(
        f"workers      {workers['processes']} of at most {workers['maximum']}:"
        f" {workers['idle']} idle, {workers['busy']} busy, {workers['waiting']} waiting for their"
        f" client, {workers['starting']} starting"
    )
    print(f"sessions     {found['sessions']}")
    if found["draining_generations"]:
        print(f"draining     {found['draining_generations']} configurations before this one")
    return 0


def _span(seconds: float) -> str:
    """A span of time as people read it: "3 d 4:05:06"."""
    days, rest = divmod(int(seconds), 86400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock
