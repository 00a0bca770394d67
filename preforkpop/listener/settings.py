"""What the listener reads: who may connect. Declarations only; imported by ``config`` and the
listener."""

from __future__ import annotations

from dataclasses import dataclass

from preforkpop.config.option import Kind, option


@dataclass(frozen=True, slots=True)
class Admission:
    """Section ``admission``."""

    connections_per_minute: int = option(
        0,
        "more than so many accepted within a minute suspend the service (inetd's nowait.N); 0 off",
        minimum=0,
        available=False,
    )
    suspend: float = option(
        600.0,
        "for how long the service is suspended (inetd: ten minutes)",
        unit="seconds",
        minimum=1,
        available=False,
    )
    cps: str = option(
        "",
        '"50 10": more than 50 connections a second pause accepting for 10 s (xinetd); "" off',
        available=False,
    )
    instances: int = option(0, "sessions at once over all (xinetd); 0 unlimited", minimum=0)
    per_source: int = option(
        0,
        "connections at once from one address, or one /64 of IPv6 (xinetd); 0 unlimited",
        minimum=0,
    )
    per_source_rate: str = option(
        "",
        'new connections per seconds from one address, for example "30/60"; "" off',
        available=False,
    )
    max_load: float = option(
        0.0,
        "one-minute load average above which new connections are turned away (xinetd); 0 off",
        minimum=0,
        available=False,
    )
    max_pressure: float = option(
        0.0,
        'percent of PSI\'s cpu "some avg10" above which likewise; 0 off',
        minimum=0,
        maximum=100,
        available=False,
    )
    minimum_free_memory: int = option(
        0,
        'free memory below which new connections are turned away, for example "200MiB"; "" off',
        kind=Kind.SIZE,
        available=False,
    )
    only_from: tuple[str, ...] = option(
        (), "addresses, networks and host names that may connect; empty: all", available=False
    )
    no_access: tuple[str, ...] = option(
        (), "addresses, networks and host names that may not", available=False
    )
    access_times: str = option(
        "",
        'when clients may connect, for example "07:00-22:00"; "" always',
        available=False,
    )
    hosts_access: bool = option(
        False,
        "obey /etc/hosts.allow and /etc/hosts.deny (daemon names preforkpop and popper)",
        available=False,
    )
    proxies: tuple[str, ...] = option((), "who may speak PROXY protocol", available=False)
    refusal: str = option(
        "reply",
        '"reply": -ERR with the reason, then close; "drop": close at once',
        choices=("reply", "drop"),
    )
