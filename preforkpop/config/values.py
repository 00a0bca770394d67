"""From a value as TOML has it to the value that the program uses. Pure.

Whoever writes a value that cannot be used is told what can be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

from preforkpop.config.declared import Declared, Form
from preforkpop.config.option import Kind
from preforkpop.config.words import (
    UNITS,
    accepted,
    item_accepted,
    literal,
    number_text,
    quoted,
    shown,
    size_text,
    suggestion,
    type_name,
)
from preforkpop.system.sockets import AddressError, split_address

LARGEST: Final = 2**31 - 1
"""Of numbers that declare no maximum: what the kernel takes for a count or a time."""

LARGEST_SIZE: Final = 2**50
LONGEST: Final = 4096
"""Characters of a string: PATH_MAX of Linux."""

_SIZE: Final = re.compile(r"([0-9]{1,15}) ?([KMGT]iB|B)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class WrongValueError(Exception):
    """A value that cannot be used; the text says what is wrong and what is accepted."""


def convert(value: Any, key: Declared) -> Any:
    """The program's value of a key that is neither a section nor a list."""
    found = _CONVERT[key.form](value, key)
    if not key.option.available and found != key.default:
        raise not_yet(key)
    return found


def convert_item(value: Any, key: Declared) -> str:
    """One item of a list of strings; names for later versions are taken."""
    if isinstance(value, str) and value in key.option.planned:
        return value
    return _checked_text(value, key)


def not_yet(key: Declared) -> WrongValueError:
    """The fault of a setting that a later version will have."""
    default = literal(key.default, key)
    return WrongValueError(
        f"this version does not have it yet; only the default is accepted: {default}"
    )


def wrong_type(value: Any, words: str) -> WrongValueError:
    """The fault of a value that has the wrong type."""
    return WrongValueError(f"is {type_name(value)}; accepted: {words}")


# -- each form ------------------------------------------------------------------------------


def _switch(value: Any, key: Declared) -> bool:
    if not isinstance(value, bool):
        raise wrong_type(value, accepted(key))
    return value


def _number(value: Any, key: Declared) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(value, accepted(key))
    _check_range(value, key, LARGEST, number_text)
    return float(value)


def _whole(value: Any, key: Declared) -> int:
    if key.option.kind is Kind.SIZE:
        return _size(value, key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(value, accepted(key))
    _check_range(value, key, LARGEST, number_text)
    return value


def _size(value: Any, key: Declared) -> int:
    if not isinstance(value, str):
        raise wrong_type(value, accepted(key))
    if not value and key.default == 0:
        return 0
    match = _SIZE.fullmatch(value)
    if match is None:
        raise WrongValueError(f"{shown(value)} is no size; accepted: {accepted(key)}")
    octets = int(match[1]) * UNITS[match[2]]
    _check_range(octets, key, LARGEST_SIZE, size_text)
    return octets


def _check_range(value: float, key: Declared, largest: int, text: Callable[[Any], str]) -> None:
    least, most = key.option.minimum, key.option.maximum
    if most is None:
        most = largest
    if math.isfinite(value) and (least is None or least <= value) and value <= most:
        return
    shown = text(value) if math.isfinite(value) and abs(value) < 10**18 else "the value"
    limit = "" if key.option.maximum is not None else f", and at most {text(largest)}"
    raise WrongValueError(f"{shown} is out of range; accepted: {accepted(key)}{limit}")


def _text(value: Any, key: Declared) -> str:
    if isinstance(value, str) and value in key.option.planned:
        raise WrongValueError(
            f"this version does not have {quoted(value)} yet; accepted: {accepted(key)}"
        )
    if value == "" and key.default == "" and not key.option.required:
        return ""
    return _checked_text(value, key)


def _checked_text(value: Any, key: Declared) -> str:
    option = key.option
    if not isinstance(value, str):
        raise wrong_type(value, item_accepted(key))
    if option.choices:
        if value not in option.choices:
            near = suggestion(value, option.choices)
            raise WrongValueError(
                f"{shown(value)} is not known{near}; accepted: {item_accepted(key)}"
            )
    elif _CONTROL.search(value):
        raise WrongValueError("has a control character; accepted: one line of text")
    elif len(value) > LONGEST:
        raise WrongValueError(f"is too long; accepted: at most {LONGEST} characters")
    else:
        _KINDS[option.kind](value, key)
    return value


def _plain(value: str, key: Declared) -> None:
    if not value and (key.form is Form.TEXTS or key.option.minimum):
        raise WrongValueError("is empty; accepted: a string that is not")


def _address(value: str, _key: Declared) -> None:
    try:
        host, _port = split_address(value)
        host.encode("idna")  # as getaddrinfo does it
    except AddressError as error:
        raise WrongValueError(str(error)) from None
    except UnicodeError:
        raise WrongValueError(f"{shown(value)} has no valid host name") from None


def _path(value: str, key: Declared) -> None:
    if not value.startswith("/"):
        raise WrongValueError(f"{shown(value)} is not absolute; accepted: {accepted(key)}")


_KINDS: Final[dict[Kind, Callable[[str, Declared], None]]] = {
    Kind.PLAIN: _plain,
    Kind.ADDRESS: _address,
    Kind.PATH: _path,
}
_CONVERT: Final[dict[Form, Callable[[Any, Declared], Any]]] = {
    Form.SWITCH: _switch,
    Form.NUMBER: _number,
    Form.WHOLE: _whole,
    Form.TEXT: _text,
}
