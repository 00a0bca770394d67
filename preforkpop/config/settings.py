"""All settings: the sections, each declared by the process that reads it.

Read by the master before it forks; the others inherit the result. Immutable.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from preforkpop.auth.settings import Authentication
from preforkpop.listener.settings import Admission
from preforkpop.logger.settings import Logging
from preforkpop.login.settings import Dns, Login, Tls
from preforkpop.master.settings import Listener, Metrics, Pool, Service
from preforkpop.worker.settings import Maildrop


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration that was checked."""

    service: Service = field(default_factory=Service)
    listeners: tuple[Listener, ...] = (Listener(),)
    tls: Tls = field(default_factory=Tls)
    pool: Pool = field(default_factory=Pool)
    login: Login = field(default_factory=Login)
    admission: Admission = field(default_factory=Admission)
    authentication: Authentication = field(default_factory=Authentication)
    maildrop: Maildrop = field(default_factory=Maildrop)
    dns: Dns = field(default_factory=Dns)
    logging: Logging = field(default_factory=Logging)
    metrics: Metrics = field(default_factory=Metrics)
