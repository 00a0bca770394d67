"""The configuration in force, written so that it can be read back. Pure; run by ``config show``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from preforkpop.config.declared import Declared, Form, declared
from preforkpop.config.document import key_text
from preforkpop.config.locator import Place
from preforkpop.config.option import Kind
from preforkpop.config.reader import Configuration
from preforkpop.config.words import literal, shown, size_text


def as_toml(configuration: Configuration) -> str:
    """Every setting, with a comment that tells from where it comes."""
    document = configuration.document
    source = f"from {shown(document.path)}" if document.path else "without a file"
    lines = [f"# The configuration in force, {source}."]

    def write(section: Any, place: Place, header: str) -> None:
        lines.extend(["", header] if header else [])
        keys = list(declared(type(section)).values())
        for key in keys:
            if key.section is None:
                line = document.lines.get((*place, key.name))
                origin = f"line {line}" if line else "default"
                value = literal(getattr(section, key.name), key)
                lines.append(f"{key.name} = {value}  # {origin}")
        for key, here, item in _inner(section, place):
            name = key_text(here)
            write(item, here, f"[{name}]" if key.form is Form.SECTION else f"[[{name}]]")

    write(configuration.settings, (), "")
    return "\n".join(lines) + "\n"


def as_data(configuration: Configuration) -> dict[str, Any]:
    """The same for programs: values as they stand in a file, and the lines of those that do."""
    document = configuration.document
    return {
        "file": document.path or None,
        "settings": _data(configuration.settings),
        "lines": {
            ".".join(map(str, place)): line
            for place, line in document.lines.items()
            if isinstance(place[-1], str)
        },
    }


def _inner(section: Any, place: Place) -> Iterator[tuple[Declared, Place, Any]]:
    """The sections in a section, each with its key and place."""
    for key in declared(type(section)).values():
        if key.form is Form.SECTION:
            yield key, (*place, key.name), getattr(section, key.name)
        elif key.form is Form.TABLES:
            for number, item in enumerate(getattr(section, key.name)):
                yield key, (*place, key.name, number), item


def _data(section: Any) -> dict[str, Any]:
    return {
        key.name: _value(getattr(section, key.name), key)
        for key in declared(type(section)).values()
    }


def _value(value: Any, key: Declared) -> Any:
    match key.form:
        case Form.SECTION:
            return _data(value)
        case Form.TABLES:
            return [_data(item) for item in value]
        case Form.TEXTS:
            return list(value)
        case _:
            return size_text(value) if key.option.kind is Kind.SIZE else value
