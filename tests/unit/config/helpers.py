"""Configurations from text, as a server that runs as root or as another account reads them."""

from __future__ import annotations

import tomllib

from preforkpop.config import machine
from preforkpop.config.document import Document
from preforkpop.config.faults import ConfigError, Fault
from preforkpop.config.locator import locate
from preforkpop.config.reader import Configuration, configure
from preforkpop.config.surroundings import Surroundings

ROOT = Surroundings(0, {})
FRED = Surroundings(1000, {"HOME": "/home/fred", "XDG_RUNTIME_DIR": "/run/user/1000"})

CERTIFICATE = '[tls]\ncertificate = "/etc/ssl/pop.pem"\n'


def document(text: str) -> Document:
    return Document("c.toml", tomllib.loads(text), locate(text))


def read(text: str, surroundings: Surroundings = ROOT) -> Configuration:
    """The configuration of a text that can be used."""
    return configure(document(text), surroundings)


def told(text: str, surroundings: Surroundings = ROOT) -> tuple[Fault, ...]:
    """Every fault and warning of a text, in order."""
    try:
        return configure(document(text), surroundings).warnings
    except ConfigError as error:
        return error.faults


def faults(text: str, surroundings: Surroundings = ROOT) -> list[str]:
    """The faults of a text that keep a server from starting, as they are printed."""
    return [str(fault) for fault in told(text, surroundings) if not fault.warning]


def warnings(text: str, surroundings: Surroundings = ROOT) -> list[str]:
    """The warnings about a text, as they are printed."""
    return [str(fault) for fault in told(text, surroundings) if fault.warning]


def told_of_machine(text: str) -> list[str]:
    """What is wrong on the machine, without the file and line."""
    configuration = read(text, Surroundings.here())
    assert not configuration.warnings
    return [str(fault).partition(" ")[2] for fault in machine.faults(configuration)]


def changed(settled: str, key: str, value: str) -> str:
    lines = [line for line in settled.splitlines() if not line.strip().startswith(f"{key} =")]
    return "\n".join([*lines, f"{key} = {value}"])
