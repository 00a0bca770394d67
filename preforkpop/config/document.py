"""A configuration file as TOML, with the line of every key.

Run wherever a configuration is read, as whoever reads it. Whatever the path leads to, there is one
fault of one line, or a document.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from preforkpop.config.faults import ConfigError, Fault
from preforkpop.config.locator import Place, locate
from preforkpop.config.words import shown

MAXIMUM_OCTETS: Final = 2**20
"""Whatever is longer is some other file."""

BUILT_IN: Final = "(defaults)"
"""What stands in the place of a file's name when there is no file."""

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_WHERE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|(end of document))\)$")


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, and where."""

    path: str = ""  # "" without a file
    table: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Place, int] = field(default_factory=dict)

    def given(self, key: str) -> bool:
        """Whether the file has a key, like "pool.start_workers" (not one inside a list)."""
        return tuple(key.split(".")) in self.lines

    def fault(self, places: Iterable[Place], problem: str, *, warning: bool = False) -> Fault:
        """A fault of the first of some places that the file has, or near the first of all."""
        candidates = list(places)
        place = next((one for one in candidates if one in self.lines), candidates[0])
        line = 0
        for length in range(len(place), 0, -1):
            line = self.lines.get(place[:length], 0)
            if line:
                break
        return Fault(self.path or BUILT_IN, line, key_text(place), problem, warning)


def key_text(place: Place) -> str:
    """A place as an administrator writes the key; the line tells which item of a list it is."""
    names = (name for name in place if isinstance(name, str))
    return ".".join(name if _BARE_KEY.fullmatch(name) else shown(name) for name in names)


def open_document(path: str) -> Document:
    """Read a file; ConfigError."""
    text = _text(path)
    try:
        return Document(path, tomllib.loads(text), locate(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_fault(path, text, str(error))]) from None
    except RecursionError:
        raise _whole(path, "is nested too deeply to be a configuration") from None
    except ValueError as error:  # a number of thousands of digits, which int() refuses
        raise _whole(path, f"is no TOML: {error}") from None


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            octets = file.read(MAXIMUM_OCTETS + 1)
    except OSError as error:
        raise _whole(path, f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise _whole(shown(path), "is no name of a file") from None
    if len(octets) > MAXIMUM_OCTETS:
        raise _whole(path, f"is longer than {MAXIMUM_OCTETS} octets, so no configuration")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            [Fault(path, line, "", "has octets that are not UTF-8, as TOML has to be")]
        ) from None


def _whole(path: str, problem: str) -> ConfigError:
    return ConfigError([Fault(path, 0, "", problem)])


def _syntax_fault(path: str, text: str, message: str) -> Fault:
    where = _WHERE.search(message)
    if where is None:
        return Fault(path, 0, "", f"is no TOML: {message}")
    problem = message[: where.start()]
    problem = problem[:1].lower() + problem[1:]
    if where[3]:
        lines = text.count("\n") + (not text.endswith("\n"))
        return Fault(path, max(lines, 1), "", f"is no TOML: {problem} at the end of the file")
    return Fault(path, int(where[1]), "", f"is no TOML: {problem} (column {where[2]})")
