"""What the master reads: accounts and directories, listening sockets, the pool, the log.

Declarations only; imported by ``config`` and by the master (root).
"""

from __future__ import annotations

from dataclasses import dataclass

from preforkpop.config.option import Kind, option


@dataclass(frozen=True, slots=True)
class Service:
    """Section ``service``."""

    users: str = option(
        "system",
        '"system": a session runs as the mailbox\'s own Unix user;'
        ' "virtual": all mail belongs to mail_user',
        choices=("system", "virtual"),
    )
    mail_user: str = option(
        "",
        "virtual users: the account that owns the mail; empty when not started as root: the account"
        " that runs the program",
    )
    mail_group: str = option(
        "mail",
        "system users: supplementary group that lets a worker create dot-locks in the spool"
        ' directory; "" for none',
    )
    login_user: str = option(
        "preforkpop",
        "account of the listener, login and logger processes when started as root; nobody if it"
        " does not exist",
        minimum=1,
    )
    run_dir: str = option(
        "/run/preforkpop",
        "pid file and control socket; when not started as root, the default is below"
        " $XDG_RUNTIME_DIR or the temporary directory",
        kind=Kind.PATH,
    )
    state_dir: str = option(
        "/var/lib/preforkpop",
        "indexes, journals and session locks; when not started as root, the default is below"
        " $XDG_STATE_HOME or ~/.local/state",
        kind=Kind.PATH,
    )
    shutdown_grace: float = option(
        30.0,
        "how long a graceful stop waits for sessions before it ends them",
        unit="seconds",
        minimum=0,
        maximum=86400,
    )


@dataclass(frozen=True, slots=True)
class Listener:
    """One entry of ``listeners``."""

    address: str = option(
        "[::]:110",
        '"host:port", "[v6]:port" or ":port"; "[::]" also serves IPv4',
        kind=Kind.ADDRESS,
    )
    tls: str = option(
        "stls",
        '"off", "stls" (a client may start TLS, RFC 2595), "implicit" (TLS at once, RFC 8314)',
        choices=("off", "stls", "implicit"),
    )
    proxy_protocol: bool = option(
        False,
        "accept PROXY v1/v2 from admission.proxies, and from nobody else",
        available=False,
    )


@dataclass(frozen=True, slots=True)
class Pool:
    """Section ``pool``."""

    start_workers: int = option(8, "workers forked at the start", minimum=1, maximum=10000)
    minimum_spare: int = option(
        4, "idle workers below which more are forked", minimum=1, maximum=10000
    )
    maximum_spare: int = option(
        16, "idle workers above which one after another leaves", minimum=1, maximum=10000
    )
    maximum_workers: int = option(
        150, "workers at once, and so sessions at once after login", minimum=1, maximum=10000
    )
    sessions_per_worker: int = option(
        1000,
        "sessions a worker serves before it is replaced (virtual users; with system users always"
        " one); 0 for ever",
        minimum=0,
    )
    sessions_jitter: int = option(
        100,
        "up to so many sessions are added at random, so that workers are not replaced all at once",
        minimum=0,
    )
    maximum_worker_memory: int = option(
        256 * 2**20,
        "resident size at which a worker is replaced after its session",
        kind=Kind.SIZE,
        minimum=32 * 2**20,
    )
    stuck_after: float = option(
        300.0,
        "time without progress in one operation after which a worker's Python stack is written to"
        " the log and the worker is ended",
        unit="seconds",
        minimum=1,
    )


@dataclass(frozen=True, slots=True)
class Metrics:
    """Section ``metrics``."""

    address: str = option(
        "",
        'OpenMetrics over HTTP, for example "127.0.0.1:9110"; "" for none',
        kind=Kind.ADDRESS,
        available=False,
    )
