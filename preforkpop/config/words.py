"""Values in words: as TOML writes them, and what a key accepts. Pure.

The same words in faults, the sample file, the reference and the man page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from preforkpop.config.declared import Declared, Form
from preforkpop.config.option import Kind

UNITS: Final = {"TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}

_TYPES: Final = {
    bool: "a truth value",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a section",
}
_TEXTS: Final = {
    Kind.PLAIN: "a string",
    Kind.ADDRESS: '"host:port", "[v6]:port" or ":port"',
    Kind.PATH: "an absolute path",
}
_SIZE: Final = f'a size like "64MiB" (units {", ".join(reversed(UNITS))})'


def type_name(value: Any) -> str:
    """What kind of value TOML has given."""
    return _TYPES.get(type(value), "a date or time")


def quoted(text: str) -> str:
    """A basic string of TOML. JSON's escapes are TOML's too; DEL is one that JSON leaves alone."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def shown(text: str) -> str:
    """A text in a message: one line, of bounded length."""
    text = text if len(text) <= 64 else text[:64] + "..."
    return json.dumps(text, ensure_ascii=not text.isprintable())


def size_text(octets: int) -> str:
    """A size in the largest unit that divides it, "" for none."""
    if octets == 0:
        return ""
    unit = next(name for name, factor in UNITS.items() if octets % factor == 0)
    return f"{octets // UNITS[unit]}{unit}"


def number_text(value: float) -> str:
    """A number without a fraction that says nothing."""
    return str(int(value)) if float(value).is_integer() else repr(value)


def literal(value: Any, key: Declared) -> str:
    """The value of a key that is no section, as it stands in the file."""
    if key.option.kind is Kind.SIZE:
        return quoted(size_text(value))
    match key.form:
        case Form.TEXT:
            return quoted(value)
        case Form.TEXTS:
            return "[" + ", ".join(map(quoted, value)) + "]"
        case Form.SWITCH:
            return "true" if value else "false"
        case _:
            return number_text(value)


def accepted(key: Declared) -> str:
    """What can be the value of a key that is no section."""
    option = key.option
    if key.form is Form.SWITCH:
        return "true or false"
    if key.form in (Form.WHOLE, Form.NUMBER):
        if option.kind is Kind.SIZE:
            return _SIZE + _bounds(key, size_text) + (' or ""' if key.default == 0 else "")
        name = "a whole number" if key.form is Form.WHOLE else "a number"
        return name + (f" of {option.unit}" if option.unit else "") + _bounds(key, number_text)
    if key.form is Form.TEXTS:
        return "a list of " + (item_accepted(key) if option.choices else "strings")
    return item_accepted(key) + (' or ""' if key.default == "" and not option.required else "")


def item_accepted(key: Declared) -> str:
    """What can be a text, or an item of a list of texts."""
    return one_of(key.option.choices) if key.option.choices else _TEXTS[key.option.kind]


def one_of(names: Iterable[str]) -> str:
    """Names of which one is to be chosen."""
    *others, last = map(quoted, names)
    return f"{', '.join(others)} or {last}" if others else last


def suggestion(wrong: str, names: Sequence[str]) -> str:
    """A question after the name that is nearest to a wrong one; "" when none is near."""
    import difflib  # 5 ms that only a fault has to pay

    near = difflib.get_close_matches(wrong.lower().replace("-", "_"), names, 1)
    near = near or difflib.get_close_matches(wrong.upper(), names, 1)
    return f' (did you mean "{near[0]}"?)' if near else ""


def _bounds(key: Declared, text: Any) -> str:
    least, most = key.option.minimum, key.option.maximum
    if least is not None and most is not None:
        return f" from {text(least)} to {text(most)}"
    if least is not None:
        return f" of at least {text(least)}"
    return f" of at most {text(most)}" if most is not None else ""
