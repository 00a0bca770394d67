"""What is measured, and what is to be reached."""

from __future__ import annotations

from dataclasses import dataclass

OURS, OURS_SYSTEM = "preforkpop-virtual", "preforkpop-system"
TUNED, DEFAULT, POPA3D = "dovecot-tuned", "dovecot-default", "popa3d"
VIRTUAL = (OURS, TUNED)
ALL = (OURS, TUNED, OURS_SYSTEM, DEFAULT, POPA3D)


@dataclass(frozen=True)
class Load:
    """Clients that come again and again for a while."""

    name: str
    title: str
    scenario: str  # popbench's
    servers: tuple[str, ...]
    form: str = "mbox"
    key: str = "rsa"
    tls: bool = False


LOADS = (
    Load("poll", "poll", "poll", ALL),
    Load("fetch-mbox", "fetch, mbox", "fetch", ALL),
    Load("tls-poll-rsa", "TLS poll, RSA-2048", "poll", (*VIRTUAL, OURS_SYSTEM, DEFAULT), tls=True),
    Load("tls-fetch", "TLS fetch, mbox", "fetch", VIRTUAL, tls=True),
    Load("poll-maildir", "poll, Maildir", "poll", VIRTUAL, form="maildir"),
    Load("fetch-maildir", "fetch, Maildir", "fetch", VIRTUAL, form="maildir"),
    Load("tls-poll-ecdsa", "TLS poll, ECDSA P-256", "poll", VIRTUAL, key="ecdsa", tls=True),
)
GIANT, MEMORY = "giant", "memory"
NAMES = (*(load.name for load in LOADS), GIANT, MEMORY)

# Dovecot's default ends the oldest connections when there are a hundred, a process each.
HELD_WAITING = {OURS: 1000, TUNED: 1000, OURS_SYSTEM: 1000, DEFAULT: 50}
HELD_LOGGED_IN = {OURS: 100, TUNED: 100, OURS_SYSTEM: 20, DEFAULT: 20}


@dataclass(frozen=True)
class Target:
    """A ratio of ours to theirs in one scenario, or without theirs a figure of ours."""

    title: str
    scenario: str
    figure: str
    limit: float
    at_most: bool
    ours: str = OURS
    theirs: str = TUNED

    def met(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit


CPU, RATE, MEGABYTES = "cpu_milliseconds", "sessions_per_second", "megabytes_per_second"
TARGETS = (
    Target("poll: CPU a session", "poll", CPU, 0.6, at_most=True),
    Target("poll: sessions a second", "poll", RATE, 1.5, at_most=False),
    Target("fetch, mbox: MB/s", "fetch-mbox", MEGABYTES, 1.5, at_most=False),
    Target("fetch, Maildir: MB/s", "fetch-maildir", MEGABYTES, 1.5, at_most=False),
    Target("TLS poll, RSA: CPU a session", "tls-poll-rsa", CPU, 0.7, at_most=True),
    Target("TLS poll, ECDSA: CPU a session", "tls-poll-ecdsa", CPU, 0.7, at_most=True),
    Target("TLS fetch: MB/s", "tls-fetch", MEGABYTES, 2.0, at_most=False),
    Target("giant, second login: time to STAT", GIANT, "second_stat_ms", 0.5, at_most=True),
    Target("giant, second login: time to UIDL", GIANT, "second_uidl_ms", 0.5, at_most=True),
    Target("system users, poll: CPU a session", "poll", CPU, 0.3, True, OURS_SYSTEM, DEFAULT),
    Target("a waiting client, kB", MEMORY, "waiting_kB", 20, at_most=True, theirs=""),
)
