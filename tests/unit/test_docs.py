"""What the documentation and the manual pages say of commands, settings, signals and log lines."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import preforkpop
from preforkpop.cli.main import COMMANDS, main
from preforkpop.config import reader
from preforkpop.config.declared import Form, declared
from preforkpop.config.settings import Settings
from preforkpop.config.surroundings import Surroundings
from preforkpop.master.main import SIGNALS
from preforkpop.worker.session import End

PACKAGE = Path(preforkpop.__file__).parent
ROOT = PACKAGE.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = sorted((ROOT / "man").glob("*.8"))
TEXTS = [*DOCS, ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"]
NAMES = [command.name for command in COMMANDS]

SECTIONS = "|".join(declared(Settings))
SETTING = re.compile(
    rf"(?<![\w./@-])({SECTIONS})\.(?!md\b|py\b)([a-z_]+)(?:\.([a-z_]+))?(?![\w(/-])"
)
COMMAND = re.compile(r"(?:^ *|[$#] |[`(]|/bin/)preforkpop ([a-z]+)\b([^|;#)]*)")
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FEWEST = 8  # letters and digits of a text in the source by which part of a line can be known
FEWEST_OF_ALL = 5  # likewise a whole line


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ------------------------------------------------------------------ commands and options


def options(parser: argparse.ArgumentParser) -> set[str]:
    """The options of a parser and of those below it."""
    found: set[str] = set()
    for action in parser._actions:
        found.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                found |= options(below)
    return found


@cache
def options_of(command: str) -> frozenset[str]:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"preforkpop.cli.{command}").add_arguments(parser)
    return frozenset(options(parser))


def described(page: Path) -> set[str]:
    """The options that a page names as such (mdoc's Fl)."""
    found = set()
    for line in page.read_text().splitlines():
        if line.startswith("."):
            found |= {f"-{name}" for name in re.findall(r"\bFl ([\w-]+)", line)}
    return found


def test_each_command_has_a_page_and_each_page_a_command() -> None:
    assert {page.stem for page in PAGES} == {"preforkpop", *(f"preforkpop-{one}" for one in NAMES)}


@pytest.mark.parametrize("command", NAMES)
def test_a_page_describes_the_options_of_its_command_and_no_others(command: str) -> None:
    assert described(ROOT / "man" / f"preforkpop-{command}.8") == options_of(command)


def test_the_overview_describes_the_options_before_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = set(re.findall(r"(?<![\w-])--?[a-z]+", capsys.readouterr().out))
    assert described(ROOT / "man" / "preforkpop.8") == shown


def test_the_overview_leads_to_every_page() -> None:
    text = (ROOT / "man" / "preforkpop.8").read_text()
    assert [name for name in NAMES if f".Xr preforkpop-{name} 8" not in text] == []
    assert ".Xr preforkpop.toml 5" in text


def code(path: Path) -> Iterator[str]:
    """The lines of a text that are code, and pieces of code within others."""
    for line in path.read_text().splitlines():
        if path.suffix == ".8" or line.startswith(("    ", "       ")):
            yield line
        else:
            yield from CODE.findall(line)


@pytest.mark.parametrize("path", [*TEXTS, *PAGES], ids=name_of)
def test_commands_in_examples_exist_with_their_options(path: Path) -> None:
    wrong = []
    for line in code(path):
        for word, rest in COMMAND.findall(line):
            if word == "preforkpop":  # argv[0] in inetd.conf
                continue
            used = set(re.findall(r"(?<!\S)--?[a-z-]+", rest))
            if word not in NAMES:
                wrong.append(f"preforkpop {word}")
            else:
                wrong += [f"preforkpop {word} {one}" for one in used - options_of(word)]
    assert not wrong


# ------------------------------------------------------------------ settings


def is_setting(section: str, key: str, inner: str | None) -> bool:
    """Whether there is such a setting; of ``[[section.key]]`` too."""
    found = declared(Settings)[section]
    assert found.section is not None
    keys = declared(found.section)
    if key not in keys:
        return False
    if inner is None:
        return True
    below = keys[key]
    return below.form is Form.TABLES and inner in declared(below.section)


@pytest.mark.parametrize("path", [*TEXTS, *PAGES], ids=name_of)
def test_settings_exist(path: Path) -> None:
    wrong = [
        match[0]
        for match in SETTING.finditer(path.read_text())
        if not is_setting(match[1], match[2], match[3])
    ]
    assert not wrong


def examples() -> list[tuple[str, str]]:
    """Every configuration in the documentation, with where it is."""
    found = []
    for path in DOCS:
        blocks = re.findall(r"^```toml\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
        found += [(f"{path.name} {number}", block) for number, block in enumerate(blocks, 1)]
    return found


@pytest.mark.parametrize(("place", "text"), examples(), ids=lambda one: one[:20])
def test_configurations_can_be_used(place: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "preforkpop.toml"
    path.write_text(text)
    reader.read(str(path), Surroundings(0, {}))


# ------------------------------------------------------------------ signals


def test_signals_are_those_of_the_master() -> None:
    sent = {number.name for number in SIGNALS} - {"SIGCHLD"}
    rows = re.findall(r"^\| (SIG[^|]+) \|", (ROOT / "docs/operation.md").read_text(), re.MULTILINE)
    assert {name for row in rows for name in row.split(", ")} == sent
    items = re.findall(r"^\.It (Dv SIG.*)$", (ROOT / "man/preforkpop.8").read_text(), re.MULTILINE)
    assert {name for item in items for name in re.findall(r"SIG[A-Z0-9]+", item)} == sent


# ------------------------------------------------------------------ what the server writes


def pattern(node: ast.expr) -> str | None:
    """A regular expression for what a text in the source becomes; None for other expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
        return re.sub("%[bd]", ".*", re.escape(node.value.decode("latin-1")))
    if isinstance(node, ast.JoinedStr):
        parts = [pattern(value) or ".*" for value in node.values]
        return "".join(parts)
    return None


def letters(expression: str) -> int:
    """How many letters and digits of it are fixed."""
    return len(re.sub(r"\\.|\.\*|\W", "", expression))


@cache
def sources() -> tuple[tuple[str, str], ...]:
    """All texts in the package that are long enough to know a line by, each behind its longest
    fixed part."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            text = pattern(node) if isinstance(node, ast.Constant | ast.JoinedStr) else None
            if text is not None and letters(text) >= FEWEST_OF_ALL:
                found.add(text)
    return tuple((re.sub(r"\\(.)", r"\1", max(one.split(".*"), key=len)), one) for one in found)


def is_written(line: str) -> bool:
    """Whether something in the package writes such a line, or a good part of it."""
    return any(
        re.fullmatch(text, line) or (letters(text) >= FEWEST and re.search(text, line))
        for fixed, text in sources()
        if fixed in line
    )


def logged() -> list[str]:
    """The lines that docs/log.md explains, but for those in the system's own words."""
    text = (ROOT / "docs/log.md").read_text()
    found = re.findall(r"^\| `([^`\n]+)` \|", text, re.MULTILINE)
    return [line for line in found if not line.startswith('"[')]


def replies() -> list[str]:
    """The answers with -ERR that the documentation shows."""
    found = []
    for path in DOCS:
        for line in code(path):
            shown = re.search(r"-ERR (?:\[[A-Z/-]+\] )?(.*)", line)
            if shown and letters(shown[1]) >= FEWEST and not shown[1].startswith("..."):
                found.append(shown[1])
    return found


@pytest.mark.parametrize("line", [*logged(), *replies()])
def test_lines_in_the_documentation_are_written_by_the_server(line: str) -> None:
    assert is_written(line)


CALL = re.compile(
    r"(?:log|notes)\.(?:error|warning|notice|info|debug|rarely|write|append)$|\._report$"
)


def lines_in_the_source() -> Iterator[tuple[str, str]]:
    """Each text that is given to the log or to a maildrop's notes, with where it stands."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if not CALL.search(ast.unparse(node.func)):
                continue
            for argument in node.args:
                branches = [argument]
                if isinstance(argument, ast.IfExp):
                    branches = [argument.body, argument.orelse]
                for branch in branches:
                    text = pattern(branch)
                    if text is not None and letters(text) >= FEWEST_OF_ALL:
                        yield f"{name_of(path)}:{node.lineno}", text


def test_each_line_of_the_log_is_explained() -> None:
    explained = (ROOT / "docs/log.md").read_text()
    beginnings = tuple(re.escape(one) for one in CODE.findall(explained) if letters(one) >= FEWEST)
    missing = [
        f"{place}: {text}"
        for place, text in lines_in_the_source()
        if not re.search(text, explained) and not text.startswith(beginnings)
    ]
    assert not missing, "say in docs/log.md what these lines mean and what to do"


def test_each_end_of_a_session_is_explained() -> None:
    logged_ends = set(End) - {End.QUIT, End.CLOSED, End.MAILDROP}
    assert {end.value for end in logged_ends} <= set(logged())


# ------------------------------------------------------------------ links


def heading_names(path: Path) -> set[str]:
    """The anchors of a Markdown file."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one).strip().lower().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("path", [*TEXTS, PACKAGE / "README.md"], ids=name_of)
def test_relative_links_lead_somewhere(path: Path) -> None:
    wrong = []
    for link in LINK.findall(path.read_text()):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in heading_names(target)):
            wrong.append(link)
    assert not wrong


def test_the_index_leads_to_every_page() -> None:
    links = set(LINK.findall((ROOT / "docs/README.md").read_text()))
    assert {path.name for path in DOCS} - {"README.md"} <= links
