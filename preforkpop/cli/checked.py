"""A configuration that can work on this machine, read and checked.

Run by what becomes the master, at the start and at each reload. What is checked beyond the file
itself (certificates, accounts, users) needs libraries that the master must not carry into every
process it forks, so a child does it and tells what it found.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict

from preforkpop.config import reader
from preforkpop.config.faults import ConfigError, Fault
from preforkpop.config.reader import Configuration
from preforkpop.config.settings import Settings
from preforkpop.config.surroundings import Surroundings
from preforkpop.system import process


def checked(path: str | None, surroundings: Surroundings) -> tuple[Settings, tuple[Fault, ...]]:
    """The settings and what is odd about them; ConfigError with every fault, and no warnings."""
    try:
        configuration = reader.read(path, surroundings)
        found = (*configuration.warnings, *_of_the_machine(configuration))
        if any(not one.warning for one in found):
            raise ConfigError(found)
    except ConfigError as error:
        raise ConfigError(one for one in error.faults if not one.warning) from None
    return configuration.settings, found


def _of_the_machine(configuration: Configuration) -> list[Fault]:
    told, tell = os.pipe2(os.O_CLOEXEC)

    def look() -> int:
        from preforkpop.config import machine

        os.close(told)
        found = json.dumps([asdict(fault) for fault in machine.faults(configuration)])
        with open(tell, "w") as pipe:
            pipe.write(found)
        return process.EXIT_OK

    pid = process.fork(look)
    os.close(tell)
    with open(told) as pipe:
        found = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status:
        name = configuration.document.path
        raise ConfigError([Fault(name, 0, "", "the check of the configuration failed")])
    return [Fault(**fault) for fault in json.loads(found)]
