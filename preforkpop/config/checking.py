"""Whether settings that are right each for itself go together. Pure.

Run wherever a configuration is read. One function a section; what is about users and their mail is
in ``checking_users``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

from preforkpop.config.checking_users import USER_CHECKS
from preforkpop.config.findings import Check, Finding, View, found
from preforkpop.config.settings import Settings
from preforkpop.config.surroundings import Surroundings
from preforkpop.system.sockets import split_address

_LONGEST_RUN_DIR = 90  # a socket's name has 107 octets (unix(7)), and its own name needs some
_LONGEST_GREETING = 300  # of the 512 octets of a reply; APOP's stamp has up to 200


def findings(
    settings: Settings, given: Callable[[str], bool], surroundings: Surroundings
) -> Iterator[Finding]:
    """Everything that does not go together."""
    view = View(settings, given, surroundings)
    for check in CHECKS:
        yield from check(view)


def _service(view: View) -> Iterator[Finding]:
    if len(view.settings.service.run_dir.encode()) > _LONGEST_RUN_DIR:
        yield found(
            "service.run_dir",
            problem=f"is too long for the name of a socket; accepted: at most {_LONGEST_RUN_DIR}"
            " octets",
        )


def _listeners(view: View) -> Iterator[Finding]:
    listeners = view.settings.listeners
    for number, listener in enumerate(listeners):
        if listener.tls == "implicit" and not view.settings.tls.certificate:
            yield Finding(
                (("listeners", number, "tls"),),
                '"implicit" needs a certificate: set tls.certificate, or "stls" or "off" here',
                related=(("tls", "certificate"),),
            )
    for (first, one), (second, other) in combinations(enumerate(listeners), 2):
        if _overlap(one.address, other.address):
            yield Finding(
                (("listeners", second, "address"),),
                f'"{other.address}" is part of "{one.address}", on which another listener listens',
                related=(("listeners", first, "address"),),
            )


def _overlap(one: str, other: str) -> bool:
    """Whether the kernel refuses to listen on both: "[::]" is every address, IPv4 ones too."""
    (host, port), (other_host, other_port) = split_address(one), split_address(other)
    hosts = {host.lower() or "::", other_host.lower() or "::"}
    if port != other_port:
        return False
    if len(hosts) == 1 or "::" in hosts:
        return True
    return "0.0.0.0" in hosts and not any(":" in host for host in hosts)  # noqa: S104


def _tls(view: View) -> Iterator[Finding]:
    tls = view.settings.tls
    if not tls.certificate:
        for key in ("private_key", "names"):
            if getattr(tls, key):
                yield found(
                    f"tls.{key}",
                    problem="needs a certificate: set tls.certificate",
                    related=("tls.certificate",),
                )
    seen: set[str] = set()
    for number, one in enumerate(tls.names):
        place = ("tls", "names", number, "name")
        name = one.name.lower()
        try:
            name.encode("idna")
        except UnicodeError:
            yield Finding((place,), "is no host name that a client could ask for")
        if name in seen:
            yield Finding((place,), f'"{one.name}" has a certificate already')
        seen.add(name)


def _pool(view: View) -> Iterator[Finding]:
    pool = view.settings.pool
    for low, high in (
        ("minimum_spare", "maximum_spare"),
        ("maximum_spare", "maximum_workers"),
        ("start_workers", "maximum_workers"),
    ):
        less, more = getattr(pool, low), getattr(pool, high)
        if less > more:
            yield found(
                f"pool.{low}",
                f"pool.{high}",
                problem=f"{low} is {less} and {high} is {more}; accepted: minimum_spare <="
                " maximum_spare <= maximum_workers and start_workers <= maximum_workers",
            )


def _login(view: View) -> Iterator[Finding]:
    greeting = view.settings.login.greeting
    if not (greeting.isascii() and greeting.isprintable()) or len(greeting) > _LONGEST_GREETING:
        yield found(
            "login.greeting",
            problem="is no text that a client can be greeted with; accepted: up"
            f" to {_LONGEST_GREETING} printable ASCII characters",
        )
    if "<" in greeting or ">" in greeting:
        yield found(
            "login.greeting",
            problem="has < or >, where clients look for the stamp of APOP; accepted: text without",
        )


def _logging(view: View) -> Iterator[Finding]:
    target = view.settings.logging.target
    if target not in ("syslog", "stderr") and not target.startswith("/"):
        yield found(
            "logging.target",
            problem=f'"{target}" is no place for a log; accepted: "syslog", "stderr" or the'
            " absolute path of a file",
        )


CHECKS: tuple[Check, ...] = (
    _service,
    _listeners,
    _tls,
    _pool,
    _login,
    *USER_CHECKS,
    _logging,
)
