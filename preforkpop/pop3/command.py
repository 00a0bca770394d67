"""The table of commands: what parsing, CAPA and the tables in README.md are made from.

Run by login processes and workers. A line is parsed in one way for every command: keyword, blanks,
arguments. Keywords are case-insensitive; several blanks count as one and blanks at the end as none
(clients send them), except in PASS, whose argument is everything behind the first blank.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from preforkpop.pop3.reply import error, shown

MAXIMUM_BAD_COMMANDS: Final = 10
"""Malformed lines that a session may hold; the next one ends it. Clients try a few commands that
are not offered; who sends more speaks another protocol or guesses."""


class State(Enum):
    """The states in which commands are taken (RFC 1939 section 3)."""

    AUTHORIZATION = "before login"
    TRANSACTION = "after login"


_BEFORE: Final = frozenset({State.AUTHORIZATION})
_AFTER: Final = frozenset({State.TRANSACTION})
_BOTH: Final = _BEFORE | _AFTER


@dataclass(frozen=True, slots=True)
class Keyword:
    """One command: how many arguments, where it is valid, which RFC, which capability it makes."""

    name: str
    minimum: int
    maximum: int
    states: frozenset[State]
    rfc: str
    capability: str = ""
    verbatim: bool = False  # the argument is the line behind one blank, whatever it holds


COMMANDS: Final = (
    Keyword("USER", 1, 1, _BEFORE, "RFC 1939 section 7", capability="USER"),
    Keyword("PASS", 1, 1, _BEFORE, "RFC 1939 section 7", verbatim=True),
    Keyword("APOP", 2, 2, _BEFORE, "RFC 1939 section 7"),
    Keyword("AUTH", 0, 2, _BEFORE, "RFC 5034 section 4", capability="SASL"),
    Keyword("STLS", 0, 0, _BEFORE, "RFC 2595 section 4", capability="STLS"),
    Keyword("CAPA", 0, 0, _BOTH, "RFC 2449 section 5"),
    Keyword("QUIT", 0, 0, _BOTH, "RFC 1939 sections 4 and 6"),
    Keyword("STAT", 0, 0, _AFTER, "RFC 1939 section 5"),
    Keyword("LIST", 0, 1, _AFTER, "RFC 1939 section 5"),
    Keyword("RETR", 1, 1, _AFTER, "RFC 1939 section 5"),
    Keyword("DELE", 1, 1, _AFTER, "RFC 1939 section 5"),
    Keyword("NOOP", 0, 0, _AFTER, "RFC 1939 section 5"),
    Keyword("RSET", 0, 0, _AFTER, "RFC 1939 section 5"),
    Keyword("TOP", 2, 2, _AFTER, "RFC 1939 section 7", capability="TOP"),
    Keyword("UIDL", 0, 1, _AFTER, "RFC 1939 section 7", capability="UIDL"),
)

_BY_NAME: Final = {keyword.name.encode("ascii"): keyword for keyword in COMMANDS}

_CONTROLS: Final = bytes((*range(0x20), 0x7F))


class Command(NamedTuple):
    """A command that is well-formed and valid in the state that it was parsed for."""

    name: str
    arguments: tuple[bytes, ...]


def parse(line: bytes, state: State) -> Command | bytes:
    """Parse a line without its end; what is malformed gives the complete ``-ERR`` line instead.

    Octets above 0x7F pass (user names in UTF-8); control characters, NUL and CR among them, are
    malformed everywhere but in a password.
    """
    word, _, rest = line.partition(b" ")
    keyword = _BY_NAME.get(word) or _BY_NAME.get(word.upper())
    if keyword is None:
        return error(f'Unknown command: "{shown(word.lower())}".')
    if state not in keyword.states:
        return error(f"The {keyword.name} command is not valid {state.value}.")
    arguments: tuple[bytes, ...]
    if keyword.verbatim:
        arguments = (rest,) if rest else ()
    elif not rest:
        arguments = ()
    elif rest.translate(None, _CONTROLS) != rest:
        return error(f"Control characters in the {keyword.name} command.")
    else:
        arguments = tuple(filter(None, rest.split(b" ")))
    if len(arguments) < keyword.minimum:
        return error(f"Too few arguments for the {keyword.name} command.")
    if len(arguments) > keyword.maximum:
        return error(f"Too many arguments for the {keyword.name} command.")
    return Command(keyword.name, arguments)


def number(argument: bytes) -> int | None:
    """Read a message number or line count: 1 to 40 ASCII digits (RFC 1939 section 3), or None.

    Leading zeros are digits; signs, blanks and the digits of other scripts are not.
    """
    return int(argument) if argument.isdigit() and len(argument) <= 40 else None
