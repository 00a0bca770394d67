"""The declarations of settings as data: what a section has, and of which form each key is.

Run wherever a configuration is read or described. There is no other list of keys.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from preforkpop.config.option import KEY, Option


class Form(enum.Enum):
    """What a value is in the file."""

    SECTION = "section"  # [name]
    TABLES = "tables"  # [[name]], any number of times
    TEXT = "text"
    TEXTS = "texts"  # a list
    WHOLE = "whole"  # an int in the program; sizes too
    NUMBER = "number"  # a float in the program
    SWITCH = "switch"


_SCALARS = {str: Form.TEXT, int: Form.WHOLE, float: Form.NUMBER, bool: Form.SWITCH}


@dataclass(frozen=True, slots=True)
class Declared:
    """One key of a section."""

    name: str
    form: Form
    section: type | None  # what a SECTION or each of TABLES is made of
    default: Any
    option: Option


def declared(section: Any) -> Mapping[str, Declared]:
    """The keys of a section, which is a dataclass, in the order of their declaration."""
    return _declared(section)


@cache
def _declared(section: Any) -> Mapping[str, Declared]:
    types = get_type_hints(section)
    found = {}
    for one in fields(section):
        assert one.default is not MISSING, f"{section.__name__}.{one.name} has no default"
        form, inner = _form(types[one.name])
        found[one.name] = Declared(one.name, form, inner, one.default, one.metadata[KEY])
    return found


def _is_section(annotation: Any) -> bool:
    return is_dataclass(annotation)


def _form(annotation: Any) -> tuple[Form, type | None]:
    if get_origin(annotation) is tuple:
        item = get_args(annotation)[0]
        return (Form.TABLES, item) if _is_section(item) else (Form.TEXTS, None)
    if _is_section(annotation):
        return Form.SECTION, annotation
    return _SCALARS[annotation], None
