"""Whether the files and directories that a configuration names are there and can be used.

Run by ``config check`` as whoever calls it. Nothing is made or changed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from preforkpop.config.findings import Finding, found
from preforkpop.config.locator import Place
from preforkpop.config.reader import Configuration

SYSLOG: Final = "/dev/log"


def _file(configuration: Configuration) -> Iterator[Finding]:
    """The configuration itself decides what root does."""
    path = configuration.document.path
    if not path or not os.path.isfile(path):
        return  # read from a pipe
    status = os.stat(path)
    if status.st_mode & stat.S_IWOTH:
        yield Finding(((),), "can be written by everybody; chmod o-w", warning=True)
    if configuration.surroundings.root and status.st_uid != 0:
        yield Finding(((),), f"belongs to uid {status.st_uid} and not to root", warning=True)


def _certificates(configuration: Configuration) -> Iterator[Finding]:
    tls = configuration.settings.tls
    if not tls.certificate:
        return
    yield from _pair(configuration, ("tls",), tls.certificate, tls.private_key)
    for number, one in enumerate(tls.names):
        place = ("tls", "names", number)
        yield from _pair(configuration, place, one.certificate, one.private_key)


def _pair(
    configuration: Configuration, place: Place, certificate: str, key: str
) -> Iterator[Finding]:
    from preforkpop.tls import context  # OpenSSL takes 60 ms, which other commands do not need

    tls = configuration.settings.tls
    holder = (*place, "private_key" if key else "certificate")
    try:
        context.make([context.Pair(certificate, key)], tls.minimum_version, tls.ciphers)
    except context.TlsError as error:
        problem = str(error)
        if problem.startswith("tls.ciphers: "):
            if place == ("tls",):
                yield found("tls.ciphers", problem=problem.removeprefix("tls.ciphers: "))
            return
        at_key = key and problem.startswith(f"{key}: ")
        yield Finding((holder if at_key else (*place, "certificate"),), problem)
        return
    if os.stat(key or certificate).st_mode & stat.S_IROTH:
        yield Finding((holder,), "everybody can read the private key; chmod o-r", warning=True)
    yield from _validity((*place, "certificate"), certificate)


def _validity(place: Place, certificate: str) -> Iterator[Finding]:
    from cryptography import x509

    with open(certificate, "rb") as file:
        ends = x509.load_pem_x509_certificate(file.read()).not_valid_after_utc
    if ends < datetime.now(UTC):
        yield Finding((place,), f"{certificate} expired on {ends:%Y-%m-%d}", warning=True)


def _directories(configuration: Configuration) -> Iterator[Finding]:
    service = configuration.settings.service
    for key, path in (("run_dir", service.run_dir), ("state_dir", service.state_dir)):
        problem = _unusable(path)
        if problem:
            yield found(f"service.{key}", problem=problem)


def _unusable(path: str) -> str:
    """Why a directory cannot be used or made; "" when it can."""
    existing = path
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        return f"{existing} is not a directory"
    if not os.access(existing, os.W_OK | os.X_OK):
        what = "cannot be written in" if existing == path else f"cannot be made in {existing}"
        return f"{path} {what}"
    return ""


def _log(configuration: Configuration) -> Iterator[Finding]:
    target = configuration.settings.logging.target
    key = "logging.target"
    if target == "syslog" and not os.path.exists(SYSLOG):
        problem = f"there is no {SYSLOG}: nothing takes the log, which goes to standard error"
        yield found(key, problem=problem, warning=True)
    if not target.startswith("/"):
        return
    if os.path.lexists(target):
        if not os.path.isfile(target) or not os.access(target, os.W_OK):
            yield found(key, problem=f"{target} is no file that can be written")
    elif not os.access(os.path.dirname(target), os.W_OK | os.X_OK):
        yield found(key, problem=f"{target} cannot be made in its directory")


def _maildrop(configuration: Configuration) -> Iterator[Finding]:
    """The part of the path that is the same for all users; what follows may be made later."""
    directory = os.path.dirname(configuration.settings.maildrop.path.partition("{")[0])
    if directory and not os.path.isdir(directory):
        yield found("maildrop.path", problem=f"there is no directory {directory}", warning=True)


FILE_CHECKS: Final[tuple[Callable[[Configuration], Iterator[Finding]], ...]] = (
    _file,
    _certificates,
    _directories,
    _log,
    _maildrop,
)
