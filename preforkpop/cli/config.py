"""``preforkpop config``: check a configuration, or show what is in force.

Run as whoever calls it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict

from preforkpop.cli.command import add_config, add_json
from preforkpop.config import reader
from preforkpop.config.document import BUILT_IN, Document
from preforkpop.config.faults import ConfigError, Fault
from preforkpop.system.process import EXIT_CONFIG, EXIT_OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``check`` and ``show``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="tell what is wrong, one line a fault",
        description="Read the configuration and look whether it can work on this machine: files,"
        " certificates, accounts, users. Exit status 78 when it cannot be used.",
    )
    show = actions.add_parser(
        "show",
        help="print the configuration in force",
        description="Print every setting with its value and where it comes from. The output is a"
        " configuration itself.",
    )
    show.add_argument(
        "--defaults", action="store_true", help="without the file: what holds when nothing is set"
    )
    for action in (check, show):
        add_config(action)
        add_json(action)


def run(arguments: argparse.Namespace) -> int:
    """Check or show."""
    return _check(arguments) if arguments.action == "check" else _show(arguments)


def _check(arguments: argparse.Namespace) -> int:
    name = arguments.config or reader.DEFAULT_PATH
    try:
        configuration = reader.read(arguments.config)
    except ConfigError as error:
        found = list(error.faults)
    else:
        from preforkpop.config import machine

        name = configuration.document.path or BUILT_IN
        found = [*configuration.warnings, *machine.faults(configuration)]
    unusable = any(not fault.warning for fault in found)
    if arguments.json:
        print(json.dumps([asdict(fault) for fault in found], indent=2))
    else:
        _tell(found)
        if not unusable:
            print(f"{name}: can be used")
    return EXIT_CONFIG if unusable else EXIT_OK


def _show(arguments: argparse.Namespace) -> int:
    from preforkpop.config import show

    if arguments.defaults:
        configuration = reader.configure(Document())
    else:
        configuration = reader.read(arguments.config)
    if arguments.json:
        print(json.dumps(show.as_data(configuration), indent=2, ensure_ascii=False))
    else:
        print(show.as_toml(configuration), end="")
    return EXIT_OK


def _tell(faults: Iterable[Fault]) -> None:
    for fault in faults:
        print(fault, file=sys.stderr)
