"""On which line of a TOML document each key stands, which tomllib does not tell.

Pure. Only for documents that tomllib has taken already: nothing is checked here, and what is no key
is passed over as quickly as it can be told apart from one. A place is the way to a value as tomllib
gives it: names of keys and numbers of items, ``("listeners", 1, "address")``.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

Place = tuple[str | int, ...]

_BLANK: Final = re.compile(r"[ \t]*")
_BLANK_LINES: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'  # up to two quotes may stand right before the closing three
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'",
    re.DOTALL,
)
_SCALAR: Final = re.compile(r"[^,\]}#\n]*")


def locate(text: str) -> dict[Place, int]:
    """The line, counted from 1, of every table, key and list item of a valid document."""
    return _Scan(text.replace("\r\n", "\n")).document()


class _Scan:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted = 0  # up to where lines are counted
        self._line = 1
        self._lines: dict[Place, int] = {}
        self._items: dict[Place, int] = {}  # [[tables]]: the number of the last one

    def document(self) -> dict[Place, int]:
        table: Place = ()
        while self._skip(_BLANK_LINES) < len(self._text):
            if self._text.startswith("[[", self._at):
                table = self._header(2)
                number = self._items.get(table, -1) + 1
                self._items[table] = number
                table += (number,)
                self._lines[table] = self._here()
            elif self._text[self._at] == "[":
                table = self._header(1)
                self._lines[table] = self._here()
            else:
                self._pair(table)
        return self._lines

    def _header(self, brackets: int) -> Place:
        """The place that a header names: in the last one of each [[table]] on the way."""
        self._at += brackets
        place: Place = ()
        for key in self._keys():
            if place in self._items:
                place += (self._items[place],)
            place += (key,)
            self._note(place)
        self._at += brackets
        return place

    def _pair(self, table: Place) -> None:
        place = table
        for key in self._keys():
            place += (key,)
            self._note(place)
        self._at += 1  # the equals sign
        self._value(place)

    def _keys(self) -> list[str]:
        """The parts of a dotted key, and the blanks around them."""
        keys: list[str] = []
        while True:
            self._skip(_BLANK)
            if self._text[self._at] in "\"'":
                keys.append(tomllib.loads("key=" + self._take(_STRING))["key"])
            else:
                keys.append(self._take(_BARE_KEY))
            self._skip(_BLANK)
            if self._text[self._at] != ".":
                return keys
            self._at += 1

    def _value(self, place: Place) -> None:
        self._skip(_BLANK)
        match self._text[self._at]:
            case "[":
                self._array(place)
            case "{":
                self._inline_table(place)
            case '"' | "'":
                self._skip(_STRING)
            case _:
                self._skip(_SCALAR)

    def _array(self, place: Place) -> None:
        self._at += 1
        number = 0
        while self._next("]"):
            item = (*place, number)
            self._note(item)
            self._value(item)
            number += 1

    def _inline_table(self, place: Place) -> None:
        self._at += 1
        while self._next("}"):
            self._pair(place)

    def _next(self, end: str) -> bool:
        """Go to the next item; False behind the end of the list."""
        self._skip(_BLANK_LINES)
        if self._text[self._at] == ",":
            self._at += 1
            self._skip(_BLANK_LINES)
        if self._text[self._at] == end:
            self._at += 1
            return False
        return True

    # -- small steps ------------------------------------------------------------------------

    def _note(self, place: Place) -> None:
        self._lines.setdefault(place, self._here())

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return self._at

    def _take(self, pattern: re.Pattern[str]) -> str:
        start = self._at
        return self._text[start : self._skip(pattern)]
