"""The tables in preforkpop/pop3/README.md say what the code and the tests say."""

from __future__ import annotations

import re
from pathlib import Path

from preforkpop.pop3.command import COMMANDS, Keyword, State

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
README = (ROOT / "preforkpop" / "pop3" / "README.md").read_text(encoding="utf-8")


def row(keyword: Keyword) -> str:
    """The line of the table of commands."""
    many = keyword.maximum > keyword.minimum
    arguments = f"{keyword.minimum}-{keyword.maximum}" if many else f"{keyword.minimum}"
    valid = ", ".join(state.value for state in State if state in keyword.states)
    cells = [keyword.name, arguments, valid, keyword.rfc, keyword.capability]
    return "| " + " | ".join(cells).rstrip() + " |"


def test_the_table_of_commands_is_that_of_the_parser() -> None:
    listed = [line for line in README.splitlines() if re.match(r"\| [A-Z]{3,4} \|", line)]
    assert listed == [row(keyword) for keyword in COMMANDS]


def test_every_test_that_the_table_names_exists() -> None:
    tests = (ROOT / "tests").rglob("test_*.py")
    source = "".join(path.read_text(encoding="utf-8") for path in tests)
    defined = set(re.findall(r"def (test_\w+)", source))
    named = set(re.findall(r"`(test_\w+)`", README))
    assert len(named) > 40
    assert named <= defined


def test_every_dialogue_is_named_and_exists() -> None:
    files = {path.name for path in (ROOT / "tests" / "transcripts").glob("*.pop3")}
    assert set(re.findall(r"`([\w-]+\.pop3)`", README)) - {"name.pop3"} == files


def test_no_requirement_is_without_a_test() -> None:
    table = README.split("## Requirements")[1]
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3 and cells[0] not in ("requirement", "---") and "**" not in cells[0]:
            assert cells[2], line
