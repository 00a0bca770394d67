"""How a setting is declared: a typed dataclass field with default, unit, bounds and help.

Imported wherever settings are declared; runs in no process of its own and does nothing at run time.
``--help``, the sample file, the reference and the man page are made from these declarations.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import Field, field, fields
from typing import Any, Final

KEY: Final = "preforkpop"
"""Where an Option stands in a field's metadata."""


class Kind(enum.Enum):
    """What the text or number of a setting means, beyond its Python type."""

    PLAIN = "plain"
    SIZE = "size"  # "64MiB" in the file, octets in the program
    ADDRESS = "address"  # "host:port", "[v6]:port", ":port"
    PATH = "path"  # absolute, or empty where the default is empty


class Option:
    """What is known of a setting beside its type and default."""

    __slots__ = ("available", "choices", "help", "kind", "maximum", "minimum", "unit")

    def __init__(
        self,
        help: str,  # noqa: A002 - the word of every option library
        *,
        unit: str,
        minimum: float | None,
        maximum: float | None,
        choices: tuple[str, ...],
        kind: Kind,
        available: bool,
    ) -> None:
        self.help = help
        self.unit = unit
        self.minimum = minimum
        self.maximum = maximum
        self.choices = choices
        self.kind = kind
        self.available = available


def option(
    default: Any,
    help: str,  # noqa: A002
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    kind: Kind = Kind.PLAIN,
    available: bool = True,
) -> Any:
    """Declare a setting. ``choices`` bound each item of a list. ``available=False``: the name is
    fixed, but this version cannot do it yet, so any value but the default is an error."""
    known = Option(
        help,
        unit=unit,
        minimum=minimum,
        maximum=maximum,
        choices=choices,
        kind=kind,
        available=available,
    )
    return field(default=default, metadata={KEY: known})


def options(section: type) -> Mapping[str, tuple[Field[Any], Option]]:
    """The settings that a section declares, in order."""
    return {one.name: (one, one.metadata[KEY]) for one in fields(section) if KEY in one.metadata}
