"""The line of every key, against tomllib and against how the document was written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.config.locator import Place, locate


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every place in what tomllib gives."""
    if place:
        yield place
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield from places(inner, (*place, key))


def lines(text: str) -> dict[Place, int]:
    """The lines of a document, after a check that they are of exactly its places."""
    found = locate(text)
    assert set(found) == set(places(tomllib.loads(text)))
    return found


# -- documents as people write them ---------------------------------------------------------


def test_keys_of_tables_and_of_none() -> None:
    assert lines("a = 1\n\n# b = 2\n[t] # table\n\tb = 2\n") == {
        ("a",): 1,
        ("t",): 4,
        ("t", "b"): 5,
    }


def test_each_table_of_a_list_has_its_own_lines() -> None:
    found = lines("[[l]]\na = 1\n[[ l ]]\na = 2\n[l.t]\nb = 3\n[[l.m]]\n[[l.m]]\nc = 4\n")
    assert found["l", 0, "a"] == 2
    assert found["l", 1, "a"] == 4
    assert found["l", 1, "t"] == 5
    assert found["l", 1, "t", "b"] == 6
    assert found["l", 1, "m", 1, "c"] == 9


def test_dotted_and_quoted_keys() -> None:
    found = lines('a . \'b.c\'."d\\u0065" = 1\n["t.u".v]\nw = 2\n')
    assert found["a", "b.c", "de"] == 1
    assert found["t.u", "v", "w"] == 3


def test_a_table_stands_where_its_header_is_though_another_named_it_before() -> None:
    found = lines("[a.b]\nc = 1\n[a]\nd = 2\n")
    assert found["a",] == 3
    assert found["a", "d"] == 4


def test_items_of_a_list_over_several_lines() -> None:
    found = lines('l = [ # one ], "\n  "a", # ]\n\n  ["b",\n  "c"],\n]\nz = 1\n')
    assert [found["l", 0], found["l", 1], found["l", 1, 1], found["z",]] == [2, 4, 5, 7]


def test_tables_in_one_line() -> None:
    found = lines("l = [\n {a = 1, b.c = '}'},\n { }, {d=[{e=1}]}]\n")
    assert found["l", 0, "b", "c"] == 2
    assert found["l", 2, "d", 0, "e"] == 3


@pytest.mark.parametrize(
    "string",
    [
        '""',
        "''",
        '"""\n[x]\ny = 1\n"""',
        "'''\n[x]\ny = 1 \"\"\"\n'''",
        '"""\n\\"""\n"""',
        '""""two quotes at the end"""""',
        "''''two at the end'''''",
        '"\\\\"',
        '"# \\" ] }"',
        "'\\'",
        '"""\\\n  \\\\"""',
    ],
)
def test_strings_that_look_like_something_else(string: str) -> None:
    found = lines(f"a = {string}\nl = [{string}, {string}]\nt = {{k = '}}', v = 'x'}}\nz = 1\n")
    newlines = string.count("\n")
    assert found["l",] == 2 + newlines
    assert found["l", 1] == 2 + 2 * newlines
    assert found["z",] == 4 + 3 * newlines


@pytest.mark.parametrize(
    "scalar", ["-1_000", "0xdead_beef", "1e-3", "inf", "true", "1979-05-27 07:32:00Z", "07:32:00.5"]
)
def test_values_without_quotes(scalar: str) -> None:
    found = lines(
        f"a = {scalar}# comment\nl = [{scalar},{scalar} ]\nt = {{k={scalar},m={scalar}}}\n"
    )
    assert found["t", "m"] == 3


def test_line_ends_of_other_systems_and_of_none_at_the_end() -> None:
    assert lines("a = 1\r\n\r\nb = '''x\r\ny'''\r\n[c]")["c",] == 5
    assert lines("a = 1")["a",] == 1
    assert lines("") == {}
    assert lines("# only a comment") == {}


# -- documents that nobody would write ------------------------------------------------------

KEYS = st.sampled_from(["a", "b-1", "3", '"q.x"', "'[l]'", '"#"', '"\\u0061b"', '""', '"é"'])
BLANKS = st.sampled_from(["", " ", "\t", "  "])
COMMENTS = st.sampled_from(["", " # x = 1", "#[t]", ' # """'])
SIMPLE = ["1", "-1.5e3", "true", "2001-01-01", "2001-01-01 00:00:00", '"x"', "'y'", "''"]
STRINGS = ['"a\\"#]"', '"""\n[a]\nb = 1\n"""', "'''\n\n'''", '"""""a"""""', "'''# '''''"]
SCALARS = st.sampled_from([*SIMPLE, *STRINGS])


@dataclass
class Writer:
    """Writes a document and keeps note of the line of each key."""

    draw: Any
    text: str = ""
    noted: dict[Place, int] = field(default_factory=dict)

    def put(self, text: str) -> None:
        self.text += text

    def note(self, place: Place) -> None:
        self.noted.setdefault(place, self.text.count("\n") + 1)

    def blank(self) -> None:
        self.put(self.draw(BLANKS))

    def key(self) -> str:
        """A key as it is written; its name is what tomllib says it is."""
        return self.draw(KEYS)  # type: ignore[no-any-return]

    def value(self, place: Place, depth: int) -> None:
        kind = self.draw(
            st.sampled_from(["scalar", "scalar", "list", "table"][: 4 if depth else 2])
        )
        if kind == "scalar":
            self.put(self.draw(SCALARS))
        elif kind == "list":
            self.put("[")
            for number in range(self.draw(st.integers(0, 3))):
                self.put(self.draw(COMMENTS) + "\n" if self.draw(st.booleans()) else "")
                self.note((*place, number))
                self.value((*place, number), depth - 1)
                self.put(self.draw(st.sampled_from([",", " ,", ", # c, ]\n", ",\n\n"])))
            self.put("]")
        else:
            self.table(place, depth)

    def table(self, place: Place, depth: int) -> None:
        self.put("{")
        keys = self.draw(st.lists(KEYS, max_size=3, unique_by=name))
        for number, key in enumerate(keys):
            self.put(", " if number else "")
            self.note((*place, name(key)))
            self.put(key)
            self.blank()
            self.put("=")
            self.blank()
            self.value((*place, name(key)), depth - 1)
        self.put("}")

    def pairs(self, place: Place) -> None:
        for key in self.draw(st.lists(KEYS, max_size=3, unique_by=name)):
            self.put(self.draw(st.sampled_from(["", "\n", "# a = 1\n"])))
            self.blank()
            parts = [key, *self.draw(st.lists(KEYS, max_size=2))]
            here = place
            for number, part in enumerate(parts):
                here = (*here, name(part))
                self.note(here)
                self.put("." if number else "")
                self.put(part)
                self.blank()
            self.put("= ")
            self.value(here, 3)
            self.put(self.draw(COMMENTS) + "\n")


def name(key: str) -> str:
    """The name that a written key stands for."""
    return next(iter(tomllib.loads(f"{key} = 1")))


@st.composite
def documents(draw: Any) -> Writer:
    writer = Writer(draw)
    writer.pairs(())
    # Names below "T" are the document's own, so that no table is defined twice.
    for number in range(draw(st.integers(0, 4))):
        header = draw(KEYS)
        if draw(st.booleans()):
            place: Place = (f"T{number}", name(header))
            writer.note(place[:1])
            writer.note(place)
            writer.put(f"[ T{number} . {header}]{draw(COMMENTS)}\n")
            writer.pairs(place)
            continue
        for item in range(draw(st.integers(1, 3))):
            place = (f"T{number}", item)
            writer.note(place[:1])
            writer.note(place)
            writer.put(f"[[T{number}]]{draw(COMMENTS)}\n")
            writer.pairs(place)
            if draw(st.booleans()):
                writer.note((*place, "sub"))
                writer.put(f"[T{number}.sub]\n")
                writer.pairs((*place, "sub"))
    return writer


@given(documents())
def test_every_key_of_any_document_is_found_on_its_line(writer: Writer) -> None:
    assert lines(writer.text) == writer.noted
    assert lines(writer.text.replace("\n", "\r\n")) == writer.noted
