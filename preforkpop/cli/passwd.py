"""``preforkpop passwd``: what to write into a passwd-file for a password.

Run as whoever calls it.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys

from preforkpop.auth import hashing
from preforkpop.auth.schemes import SchemeError
from preforkpop.cli.command import CommandError, add_config
from preforkpop.system.process import EXIT_OK

LONGEST = 4096  # octets; no scheme takes more, and what is longer is no password


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the scheme."""
    add_config(parser)  # so that all commands can be called alike; nothing here depends on it
    parser.description = (
        "Print what stands behind the user's name in a passwd-file. The password is asked for twice"
        " on a terminal; otherwise it is the first line of standard input."
    )
    parser.add_argument(
        "--scheme",
        type=str.upper,
        choices=hashing.SCHEMES,
        default=hashing.DEFAULT,
        help="how it is hashed (default: %(default)s); PLAIN, which is not hashed, is for APOP",
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask for a password and print its hash."""
    password = _asked() if sys.stdin.isatty() else _piped()
    try:
        print(hashing.make(arguments.scheme, password))
    except SchemeError as error:
        raise CommandError(str(error)) from None
    return EXIT_OK


def _asked() -> bytes:
    try:
        first, second = getpass.getpass("Password: "), getpass.getpass("Once more: ")
    except EOFError:
        raise CommandError("no password was given") from None
    if first != second:
        raise CommandError("the two passwords differ")
    return os.fsencode(first)


def _piped() -> bytes:
    line = sys.stdin.buffer.readline(LONGEST + 1)
    if len(line) > LONGEST:
        raise CommandError("the password is too long")
    return line.removesuffix(b"\n").removesuffix(b"\r")
