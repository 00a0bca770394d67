"""All settings: the sections, each declared by the process that reads it.

Read by the master before it forks; the others inherit the result. Immutable.
"""

# ruff: noqa: RUF009 - sections are immutable, so one of each can be everybody's default

from __future__ import annotations

from dataclasses import dataclass

from preforkpop.auth.settings import Authentication
from preforkpop.config.option import option
from preforkpop.listener.settings import Admission
from preforkpop.logger.settings import Logging
from preforkpop.login.settings import Dns, Login, Tls
from preforkpop.master.settings import Listener, Metrics, Pool, Service
from preforkpop.worker.settings import Maildrop


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration that was checked."""

    service: Service = option(Service(), "accounts and directories")
    listeners: tuple[Listener, ...] = option(
        (Listener(),),
        'where clients connect. Without any: "[::]:110" with tls = "stls", and "[::]:995" with tls'
        ' = "implicit" if tls.certificate is set',
        minimum=1,
    )
    tls: Tls = option(Tls(), "certificates")
    pool: Pool = option(Pool(), "the processes that serve sessions after login")
    login: Login = option(Login(), "connections before login")
    admission: Admission = option(Admission(), "who may connect, and how many at once")
    authentication: Authentication = option(Authentication(), "who may log in, and how")
    maildrop: Maildrop = option(Maildrop(), "where mail is, and how it is locked")
    dns: Dns = option(Dns(), "names of clients")
    logging: Logging = option(Logging(), "where the log goes, and what is in it")
    metrics: Metrics = option(Metrics(), "numbers for monitoring")
