"""From a file to settings that were checked, or to every fault in it at once.

Run by every command as whoever calls it, and by the master, as root, at the start and at a reload.
Reads the one file and asks nothing else of the machine: that is what ``machine`` does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from preforkpop.config import checking
from preforkpop.config.build import Builder
from preforkpop.config.defaults import complete
from preforkpop.config.document import Document, open_document
from preforkpop.config.faults import ConfigError, Fault
from preforkpop.config.settings import Settings
from preforkpop.config.surroundings import Surroundings
from preforkpop.master.settings import Service

DEFAULT_PATH: Final = "/etc/preforkpop/preforkpop.toml"


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings that can be used, where they come from, and what is odd about them."""

    settings: Settings
    document: Document
    surroundings: Surroundings
    warnings: tuple[Fault, ...]


def read(path: str | None = None, surroundings: Surroundings | None = None) -> Configuration:
    """Read a file, or the default one if it exists, or none; ConfigError with every fault."""
    path = path or _default_path()
    return configure(open_document(path) if path else Document(), surroundings)


def configure(document: Document, surroundings: Surroundings | None = None) -> Configuration:
    """Make settings of a document, an empty one too; ConfigError with every fault."""
    surroundings = surroundings or Surroundings.here()
    builder = Builder(document)
    settings = complete(builder.settings(), document.given, surroundings)
    faults = builder.faults + [
        document.fault(finding.places, finding.problem, warning=finding.warning)
        for finding in checking.findings(settings, document.given, surroundings)
        if not finding.concerns(builder.wrong)
    ]
    faults.sort(key=lambda fault: fault.line)
    if any(not fault.warning for fault in faults):
        raise ConfigError(faults)
    return Configuration(settings, document, surroundings, tuple(faults))


def _default_path() -> str:
    """The default file; "" only when it is certain that there is none."""
    try:
        os.lstat(DEFAULT_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError:
        pass  # opening it tells why
    return DEFAULT_PATH


def run_dir(path: str | None = None) -> str:
    """Where the server of a configuration has its control socket, also while the file is broken:
    a running server must be reachable by who is just editing it."""
    try:
        return load(path).service.run_dir
    except ConfigError:
        pass
    try:
        table = open_document(path or DEFAULT_PATH).table
        found = table["service"]["run_dir"]
    except (ConfigError, KeyError, TypeError):
        found = None
    if isinstance(found, str):
        return found
    surroundings = Surroundings.here()
    return Service().run_dir if surroundings.root else surroundings.run_dir


def load(path: str | None = None) -> Settings:
    """Read only the settings, for commands that have no use for the rest; ConfigError."""
    return read(path).settings
