"""What the logger reads: where lines go. Declarations only; imported by ``config``, the master and
the logger."""

from __future__ import annotations

from dataclasses import dataclass

from preforkpop.config.option import option

FACILITIES = (
    "mail",
    "daemon",
    "auth",
    "authpriv",
    "user",
    *(f"local{number}" for number in range(8)),
)


@dataclass(frozen=True, slots=True)
class Logging:
    """Section ``logging``."""

    target: str = option(
        "syslog",
        '"syslog", "stderr" or the absolute path of a file; in the foreground on a terminal the'
        " default is stderr",
    )
    facility: str = option("mail", "syslog facility", choices=FACILITIES)
    level: str = option(
        "info",
        "the least severe lines that are written",
        choices=("error", "warning", "notice", "info", "debug"),
    )
    format: str = option(
        "text",
        "how a line is written, but to syslog; json: one object a line",
        choices=("text", "json"),
    )
    statistics: bool = option(True, "Qpopper's Stats line for every session")
