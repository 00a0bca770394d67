"""How a setting is declared: a typed dataclass field with default, unit, bounds and help.

Imported wherever settings are declared; runs in no process of its own and does nothing at run time.
The reader's checks, the sample file, the reference and the man page are made from these
declarations (``declared`` reads them).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Final

KEY: Final = "preforkpop"
"""Where an Option stands in a field's metadata."""


class Kind(enum.Enum):
    """What the text or number of a setting means, beyond its Python type."""

    PLAIN = "plain"
    SIZE = "size"  # "64MiB" in the file, octets in the program
    ADDRESS = "address"  # "host:port", "[v6]:port", ":port"
    PATH = "path"  # absolute, or empty where the default is empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What is known of a setting beside its type and default."""

    help: str
    unit: str
    minimum: float | None  # of a list: how many items
    maximum: float | None
    choices: tuple[str, ...]  # of a list: what its items can be
    planned: tuple[str, ...]  # choices that a later version will have
    kind: Kind
    required: bool
    example: str
    available: bool


def option(
    default: Any,
    help: str,  # noqa: A002 - the word of every option library
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    planned: tuple[str, ...] = (),
    kind: Kind = Kind.PLAIN,
    required: bool = False,
    example: str = "",
    available: bool = True,
) -> Any:
    """Declare a setting, or, with a section or a tuple of sections as default, a section.

    ``planned``: names that are fixed, but this version cannot do them yet. They are an error where
    one of them is the value, and a warning as one of a list. ``available=False`` says the same of
    the whole setting: any value but the default is an error. ``required``: the key has no default,
    and ``example`` stands in for it where it is described.
    """
    known = Option(
        help=help,
        unit=unit,
        minimum=minimum,
        maximum=maximum,
        choices=choices,
        planned=planned,
        kind=kind,
        required=required,
        example=example,
        available=available,
    )
    return field(default=default, metadata={KEY: known})
