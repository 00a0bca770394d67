"""Configurations as dictionaries, written as the TOML that the server reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Settings: TypeAlias = Mapping[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]]


def merge(base: Settings, changes: Settings) -> dict[str, Any]:
    """Sections of ``base`` with the keys of ``changes``; lists are replaced whole."""
    merged: dict[str, Any] = dict(base)
    for section, value in changes.items():
        old = merged.get(section)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[section] = {**old, **value}
        else:
            merged[section] = value
    return merged


def write(settings: Settings) -> str:
    """The file's text. Strings, numbers and lists of them look in TOML as they do in JSON."""
    return "\n".join(
        line for section, value in settings.items() for line in _section(section, value)
    )


def _section(name: str, value: Any) -> list[str]:
    if isinstance(value, list):
        return [line for entry in value for line in _table(f"[[{name}]]", name, entry)]
    return _table(f"[{name}]", name, value)


def _table(head: str, name: str, entries: Mapping[str, Any]) -> list[str]:
    plain = [f"{key} = {json.dumps(value)}" for key, value in entries.items() if not _nested(value)]
    nested = [_section(f"{name}.{key}", value) for key, value in entries.items() if _nested(value)]
    return [head, *plain, "", *(line for lines in nested for line in lines)]


def _nested(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
