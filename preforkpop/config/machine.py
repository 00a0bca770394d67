"""Whether a configuration can work on this machine: accounts, addresses, sources, files.

Run by ``config check`` as whoever calls it, and by nothing else: it loads libraries of several
processes. What only that caller may not do is a fault too, so it is best checked as the account
that starts the server.
"""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterator
from typing import Final

from preforkpop.auth.backends import libpam, passwd_file
from preforkpop.auth.settings import Source
from preforkpop.config.faults import Fault
from preforkpop.config.findings import Finding, found
from preforkpop.config.locator import Place
from preforkpop.config.machine_files import FILE_CHECKS
from preforkpop.config.reader import Configuration
from preforkpop.system import accounts
from preforkpop.system.accounts import SetupError
from preforkpop.system.sockets import split_address

PAM_DIRECTORIES: Final = ("/etc/pam.d", "/usr/lib/pam.d", "/usr/share/pam.d")
UNPRIVILEGED_PORTS: Final = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def faults(configuration: Configuration) -> list[Fault]:
    """What is missing on this machine, and what is odd about it."""
    document = configuration.document
    told = [
        document.fault(finding.places, finding.problem, warning=finding.warning)
        for check in (*FILE_CHECKS, _accounts, _listeners, _sources)
        for finding in check(configuration)
    ]
    told.sort(key=lambda fault: fault.line)
    for source in configuration.settings.authentication.sources:
        if source.type == "passwd-file":
            told += _users(source.path)
    return told


def _accounts(configuration: Configuration) -> Iterator[Finding]:
    service = configuration.settings.service
    root = configuration.surroundings.root
    try:
        accounts.login_user(service.login_user)
        if service.users == "virtual":
            accounts.mail_user(service.mail_user)
        else:
            accounts.mail_group(service.mail_group)
    except SetupError as error:
        key, _, problem = str(error).partition(": ")
        yield found(key, problem=problem)
    if root and not _exists(service.login_user):
        yield found(
            "service.login_user",
            problem=f'there is no account "{service.login_user}": "{accounts.FALLBACK}" is used,'
            " which other programs use too",
            warning=True,
        )
    if service.users == "system" and not root:
        yield found(
            "service.users",
            problem='"system" without being root serves the account alone that runs the server',
            warning=True,
        )


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _listeners(configuration: Configuration) -> Iterator[Finding]:
    privileged = 0 if configuration.surroundings.root else _first_unprivileged_port()
    for number, listener in enumerate(configuration.settings.listeners):
        place: Place = ("listeners", number, "address")
        host, port = split_address(listener.address)
        if port < privileged:
            problem = f"only root can listen on ports below {privileged}"
            yield Finding((place,), problem, warning=True)
        try:
            socket.getaddrinfo(host or "::", port, type=socket.SOCK_STREAM)
        except OSError as error:
            yield Finding((place,), f'"{host}": {error.strerror}')


def _first_unprivileged_port() -> int:
    try:
        with open(UNPRIVILEGED_PORTS, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024


def _sources(configuration: Configuration) -> Iterator[Finding]:
    for number, source in enumerate(configuration.settings.authentication.sources):
        if source.type == "pam":
            yield from _pam(("authentication", "sources", number), source)


def _pam(place: Place, source: Source) -> Iterator[Finding]:
    try:
        libpam.load()
    except SetupError as error:
        yield Finding(((*place, "type"),), str(error).partition(": ")[2] or str(error))
    if not any(os.path.exists(f"{directory}/{source.service}") for directory in PAM_DIRECTORIES):
        yield Finding(
            ((*place, "service"),),
            f"there is no {PAM_DIRECTORIES[0]}/{source.service}, so PAM goes by the rules of its"
            ' service "other"',
            warning=True,
        )


def _users(path: str) -> Iterator[Fault]:
    users, wrong = passwd_file.parse(path)
    for one in wrong:  # a line costs its user the login, and must not cost all others theirs
        yield Fault(one.path, one.line, "", one.problem, warning=one.line > 0)
    if not users and not wrong:
        yield Fault(path, 0, "", "has no users", warning=True)
