"""From samples to medians, ratios, and tables in Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from compare.measure import Figures, Results
from compare.scenarios import GIANT, LOADS, MEMORY, TARGETS, Target


@dataclass(frozen=True)
class Verdict:
    """A target, and what was measured of it."""

    target: Target
    value: float | None  # None: not measured in this run
    ours: float | None = None
    theirs: float | None = None
    lowest: float | None = None  # of the rounds
    highest: float | None = None

    @property
    def word(self) -> str:
        if self.value is None:
            return "not measured"
        return "met" if self.target.met(self.value) else "NOT MET"

    def as_dict(self) -> dict[str, Any]:
        return {
            "title": self.target.title,
            "limit": self.target.limit,
            "at_most": self.target.at_most,
            "value": self.value,
            "lowest": self.lowest,
            "highest": self.highest,
            "ours": self.ours,
            "theirs": self.theirs,
            "verdict": self.word,
        }


def values(samples: list[Figures], figure: str) -> list[float]:
    return [float(one[figure]) for one in samples if figure in one]


def medians(samples: list[Figures]) -> Figures:
    found: Figures = {}
    for figure, value in samples[0].items():
        found[figure] = value if isinstance(value, str) else median(values(samples, figure))
    return found


def judge(target: Target, results: Results) -> Verdict:
    """The median of the rounds' ratios: what disturbs a whole round disturbs both sides of it."""
    servers = results.samples.get(target.scenario, {})
    ours = values(servers.get(target.ours, []), target.figure)
    if not ours:
        return Verdict(target, None)
    if not target.theirs:
        return Verdict(target, median(ours), median(ours), None, min(ours), max(ours))
    theirs = values(servers.get(target.theirs, []), target.figure)
    if not theirs:
        return Verdict(target, None)
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True) if other]
    return Verdict(target, median(ratios), median(ours), median(theirs), min(ratios), max(ratios))


def verdicts(results: Results) -> list[Verdict]:
    return [judge(target, results) for target in TARGETS]


# -- tables ---------------------------------------------------------------------------------


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Markdown that can also be read as it is."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]

    def line(cells: list[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = f"|{'-' * (widths[0] + 2)}|{'|'.join('-' * (width + 1) + ':' for width in widths[1:])}|"
    return "\n".join([line(heads), rule, *map(line, rows)]) + "\n"


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def load_table(results: Results) -> str:
    rows = []
    for load in LOADS:
        for server, samples in results.samples.get(load.name, {}).items():
            found = medians(samples)
            columns = ("sessions_per_second", "megabytes_per_second", "cpu_milliseconds")
            cells = [number(float(found[column])) for column in columns]
            cells += [number(float(found["session_milliseconds"]))]
            rows.append([load.title, server, *cells, f"{float(found['generator_share']):.2f}"])
    heads = ["load", "server", "sessions/s", "MB/s", "CPU ms/session", "median ms", "generator"]
    return table(heads, rows) if rows else ""


def figure_table(results: Results, scenario: str, columns: dict[str, str]) -> str:
    rows = []
    for server, samples in results.samples.get(scenario, {}).items():
        found = medians(samples)
        rows.append([server, *(number(float(found[column])) for column in columns)])
    return table([scenario, *columns.values()], rows) if rows else ""


GIANT_COLUMNS = {
    "first_stat_ms": "1st: STAT ms",
    "first_uidl_ms": "UIDL ms",
    "first_cpu_ms": "CPU ms",
    "second_stat_ms": "2nd: STAT ms",
    "second_uidl_ms": "UIDL ms",
    "second_cpu_ms": "CPU ms",
}
MEMORY_COLUMNS = {
    "idle_before_waiting_kB": "idle kB",
    "waiting_kB": "waiting kB",
    "waiting_tls_kB": "waiting TLS kB",
    "logged_in_kB": "logged in kB",
}


def verdict_table(found: list[Verdict]) -> str:
    rows = []
    for one in found:
        target = one.target
        limit = f"{'<=' if target.at_most else '>='} {target.limit:g}"
        compared = f"{target.ours} / {target.theirs}" if target.theirs else target.ours
        spread = "-" if one.value is None else f"{number(one.lowest)} - {number(one.highest)}"
        figures = f"{number(one.ours)} / {number(one.theirs)}" if target.theirs else "-"
        rows.append([target.title, compared, figures, limit, number(one.value), spread, one.word])
    heads = ["target", "of", "medians", "limit", "measured", "rounds", ""]
    return table(heads, rows)


def tables(results: Results) -> str:
    parts = [
        load_table(results),
        figure_table(results, GIANT, GIANT_COLUMNS),
        figure_table(results, MEMORY, MEMORY_COLUMNS),
        verdict_table(verdicts(results)),
    ]
    return "\n".join(part for part in parts if part)
