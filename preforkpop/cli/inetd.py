"""``preforkpop inetd``: serve the connection on standard input, for inetd, xinetd or systemd.

Run by the super-server, as root for system users. Nothing is printed: standard output and error are
the client's.
"""

from __future__ import annotations

import argparse
import syslog

from preforkpop.cli.command import add_config, program_version
from preforkpop.config import reader
from preforkpop.config.faults import ConfigError
from preforkpop.inetd.main import run as serve
from preforkpop.system.accounts import SetupError
from preforkpop.system.process import EXIT_CONFIG, EXIT_FAILED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument(
        "--tls",
        choices=("off", "stls", "implicit"),
        help='how TLS starts (default: "implicit" on port 995, else "stls")',
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve; what goes wrong before there is a log goes to syslog."""
    try:
        return serve(reader.load(arguments.config), arguments.tls, program_version())
    except (ConfigError, SetupError) as error:
        return _failed(EXIT_CONFIG, str(error))
    except OSError as error:
        return _failed(EXIT_FAILED, f"{error.filename or 'inetd'}: {error.strerror}")


def _failed(status: int, text: str) -> int:
    syslog.openlog("preforkpop", syslog.LOG_PID, syslog.LOG_MAIL)
    for line in text.splitlines():
        syslog.syslog(syslog.LOG_ERR, line)
    return status
