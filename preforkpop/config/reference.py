"""The sample file, the reference and the man page, made from the declarations. Pure.

Run by ``scripts/reference``, never by the server. What is made is kept in the repository; a test
tells when it is out of date.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from preforkpop.config.declared import Declared, Form, declared
from preforkpop.config.settings import Settings
from preforkpop.config.words import accepted, literal, quoted

WIDTH: Final = 96

GENERATED: Final = (
    "made by scripts/reference from the settings.py of each process: change them there"
)

INTRODUCTION: Final = (
    "The configuration is one TOML file, /etc/preforkpop/preforkpop.toml unless --config names"
    " another. Whatever it does not set has its default, and without a file all is default. A"
    " section, key or value that is not known is an error: the server does not start, and says on"
    " one line each which file, line and key is meant, what is wrong and what is accepted.",
    'Durations are numbers of seconds. Sizes are strings with a unit, like "64MiB". An option that'
    " Qpopper has keeps Qpopper's name, with underscores.",
    "`preforkpop config check` tells all faults at once and looks for files, accounts and"
    " certificates too; `preforkpop config show` prints what is in force and where it comes from;"
    " `preforkpop reload` puts a changed file in force, or keeps the old one when it has a fault.",
    "A few defaults depend on something else. In [pool], start_workers, minimum_spare and"
    " maximum_spare never exceed maximum_workers unless they are set. A server that is not started"
    " as root has its run_dir and state_dir in places of its account.",
)


@dataclass(frozen=True, slots=True)
class Section:
    """A section as it is described."""

    header: str  # "[pool]", "[[tls.names]]"
    help: str
    keys: tuple[Declared, ...]
    repeated: bool


def sections() -> Iterator[Section]:
    """All sections in the order of the file."""
    yield from _inside(Settings, "")


def _inside(section: Any, prefix: str) -> Iterator[Section]:
    for key in declared(section).values():
        if key.section is None:
            continue
        name = prefix + key.name
        repeated = key.form is Form.TABLES
        header = f"[[{name}]]" if repeated else f"[{name}]"
        plain = (one for one in declared(key.section).values() if one.section is None)
        yield Section(header, key.option.help, tuple(plain), repeated)
        yield from _inside(key.section, f"{name}.")


def _default(key: Declared) -> str:
    return quoted(key.option.example) if key.option.required else literal(key.default, key)


def _accepted(key: Declared) -> str:
    """What is accepted, and what is not to be had."""
    option = key.option
    if not option.available:
        return "not in this version"
    parts = [accepted(key)]
    if option.required:
        parts.append("required")
    if option.planned:
        parts.append("not in this version: " + ", ".join(map(quoted, option.planned)))
    return "; ".join(parts)


def _remark(key: Declared) -> str:
    """The same where it says more than the default and the help do; else ""."""
    option = key.option
    if not option.available:
        return "Not in this version."
    told = all(quoted(one) in option.help for one in option.choices)
    if option.choices and told and not option.planned:
        return ""
    if key.form is Form.SWITCH or (key.form in (Form.TEXT, Form.TEXTS) and not option.choices):
        return ""
    return f"Accepted: {_accepted(key)}."


# -- the sample file ------------------------------------------------------------------------


def sample() -> str:
    """A file that says nothing yet: every setting is a comment."""
    lines = [f"# {line}" for text in INTRODUCTION for line in (*_wrapped(text), "")]
    lines += [
        "# Below, every setting stands with its default. To change one, take the # away before it,",
        "# and before the header in double brackets if it stands below one.",
        "",
    ]
    for section in sections():
        lines += [
            *_comment(_sentence(section.help)),
            ("#" if section.repeated else "") + section.header,
            "",
        ]
        for key in section.keys:
            lines += _comment(_sentence(key.option.help))
            lines += _comment(_remark(key))
            lines += [f"#{key.name} = {_default(key)}", ""]
    return "\n".join(line.rstrip() for line in lines[:-1]) + "\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in _wrapped(text)]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH - 2, break_on_hyphens=False, break_long_words=False)


# -- docs/configuration.md ------------------------------------------------------------------


def markdown() -> str:
    """The reference."""
    lines = ["# Configuration", "", f"<!-- {GENERATED} -->"]
    for text in INTRODUCTION:
        lines += ["", *_wrapped(text.replace("--config", "`--config`"))]
    for section in sections():
        lines += ["", f"## `{section.header}`", "", _sentence(section.help), ""]
        lines += ["| key | default | accepted | meaning |", "| --- | --- | --- | --- |"]
        for key in section.keys:
            default = "" if key.option.required else f"`{_default(key)}`"
            cells = (f"`{key.name}`", default, _accepted(key), key.option.help)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


# -- man/preforkpop.toml.5 ------------------------------------------------------------------

_ROFF: Final = str.maketrans(
    {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"}
)


def man_page() -> str:
    """The man page, in the macros of man(7)."""
    lines = [
        f'.\\" {GENERATED}',
        '.TH PREFORKPOP.TOML 5 "" preforkpop "File formats"',
        ".SH NAME",
        "preforkpop.toml \\- configuration of the POP3 server preforkpop",
        ".SH DESCRIPTION",
    ]
    for number, text in enumerate(INTRODUCTION):
        lines += [*([".PP"] if number else []), *_roff(text.replace("`", ""))]
    lines.append(".SH SECTIONS")
    for section in sections():
        lines += [f".SS {section.header}", *_roff(_sentence(section.help))]
        for key in section.keys:
            default = "" if key.option.required else f" = {_default(key)}".translate(_ROFF)
            lines += [".TP", f"\\fB{key.name}\\fR{default}", *_roff(_sentence(key.option.help))]
            lines += _roff(_remark(key))
    lines += [".SH FILES", ".I /etc/preforkpop/preforkpop.toml", ".SH SEE ALSO"]
    lines.append(".BR preforkpop (8)")
    return "\n".join(lines) + "\n"


def _roff(text: str) -> list[str]:
    """Running text; a line that begins like a request is made harmless."""
    return [("\\&" if line[0] in ".'" else "") + line.translate(_ROFF) for line in _wrapped(text)]
