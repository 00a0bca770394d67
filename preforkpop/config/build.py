"""From a document to settings, by the declarations: each value for itself.

Run wherever a configuration is read. A value that cannot be used is a fault, and its default takes
its place for the time being, so that all faults are found at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preforkpop.config.declared import Declared, Form, declared
from preforkpop.config.document import Document, key_text
from preforkpop.config.faults import Fault
from preforkpop.config.locator import Place
from preforkpop.config.settings import Settings
from preforkpop.config.values import WrongValueError, convert, convert_item, not_yet, wrong_type
from preforkpop.config.words import accepted, one_of, quoted, suggestion, type_name


class Builder:
    """Builds settings of one document and collects the faults."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.faults: list[Fault] = []  # and warnings
        self.wrong: set[Place] = set()  # where defaults stand in

    def settings(self) -> Settings:
        """Everything that the document sets, with plain defaults for the rest."""
        settings: Settings = self._section(Settings, self._document.table, ())
        return settings

    def _section(self, section: Any, table: Mapping[str, Any], place: Place) -> Any:
        keys = declared(section)
        for name in table:
            if name not in keys:
                self._fault((*place, name), _unknown(name, keys, place))
        values = {}
        for name, key in keys.items():
            here = (*place, name)
            if name not in table:
                if key.option.required:
                    self._fault(here, f"is missing; accepted: {accepted(key)}")
                continue
            try:
                values[name] = self._value(key, table[name], here)
            except WrongValueError as fault:
                self._fault(here, str(fault))
        return section(**values)

    def _value(self, key: Declared, value: Any, place: Place) -> Any:
        match key.form:
            case Form.SECTION:
                return self._one_section(key, value, place)
            case Form.TABLES:
                return self._tables(key, value, place)
            case Form.TEXTS:
                return self._texts(key, value, place)
            case _:
                return convert(value, key)

    def _one_section(self, key: Declared, value: Any, place: Place) -> Any:
        assert key.section is not None
        if not isinstance(value, dict):
            raise wrong_type(value, f"one section, [{key_text(place)}]")
        return self._section(key.section, value, place)

    def _tables(self, key: Declared, value: Any, place: Place) -> tuple[Any, ...]:
        assert key.section is not None
        words = f"any number of [[{key_text(place)}]]"
        if not isinstance(value, list):
            raise wrong_type(value, words)
        if len(value) < (key.option.minimum or 0):
            raise WrongValueError(f"is empty; accepted: at least one [[{key_text(place)}]]")
        found: list[Any] = []
        for number, item in enumerate(value):
            here = (*place, number)
            if isinstance(item, dict):
                found.append(self._section(key.section, item, here))
            else:
                self._fault(here, f"has {type_name(item)} in it; accepted: {words}")
        return tuple(found)

    def _texts(self, key: Declared, value: Any, place: Place) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise wrong_type(value, accepted(key))
        if len(value) < (key.option.minimum or 0):
            raise WrongValueError(f"is empty; accepted: {accepted(key)}")
        found: dict[str, None] = {}
        for number, item in enumerate(value):
            here = (*place, number)
            try:
                text = convert_item(item, key)
            except WrongValueError as fault:
                self._fault(here, str(fault))
                continue
            if text in found:
                self._fault(here, f"{quoted(text)} is in the list already; once is enough")
            found[text] = None
        texts = tuple(found)
        if texts != key.default:
            if not key.option.available:
                raise not_yet(key)
            self._warn_of_planned(key, value, place)
        return texts

    def _warn_of_planned(self, key: Declared, value: list[Any], place: Place) -> None:
        for number, item in enumerate(value):
            if item in key.option.planned:
                problem = f"this version does not have {quoted(item)} yet and goes without it"
                self.faults.append(self._document.fault([(*place, number)], problem, warning=True))

    def _fault(self, place: Place, problem: str) -> None:
        self.wrong.add(place)
        self.faults.append(self._document.fault([place], problem))


def _unknown(name: str, keys: Mapping[str, Declared], place: Place) -> str:
    what = "key" if place else "section"
    near = suggestion(name, tuple(keys)) or _elsewhere(name)
    return f"there is no such {what}{near}; accepted: {', '.join(keys)}"


def _elsewhere(name: str) -> str:
    """Where a key belongs that stands in the wrong section."""
    homes = [
        f"{section.name}.{name}"
        for section in declared(Settings).values()
        if section.section is not None and name in declared(section.section)
    ]
    return f" (did you mean {one_of(homes)}?)" if homes else ""
