"""Defaults that depend on what else is configured and on who runs the program. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from preforkpop.config.settings import Settings
from preforkpop.config.surroundings import Surroundings
from preforkpop.logger.settings import Logging
from preforkpop.master.settings import Listener, Pool, Service

Given = Callable[[str], bool]
"""Whether the file sets a key, like "pool.start_workers"."""

TLS_LISTENER = Listener(address="[::]:995", tls="implicit")
"""The second default listener, when a certificate is configured."""


def complete(settings: Settings, given: Given, surroundings: Surroundings) -> Settings:
    """Fill in what the file leaves open."""
    settings = replace(
        settings,
        service=_service(settings.service, given, surroundings),
        pool=_pool(settings.pool, given),
        logging=_logging(settings.logging, given, surroundings),
    )
    if settings.tls.certificate and not given("listeners"):
        settings = replace(settings, listeners=(*settings.listeners, TLS_LISTENER))
    return settings


def _service(service: Service, given: Given, surroundings: Surroundings) -> Service:
    if surroundings.root:
        return service
    if not given("service.run_dir"):
        service = replace(service, run_dir=surroundings.run_dir)
    if not given("service.state_dir"):
        service = replace(service, state_dir=surroundings.state_dir)
    return service


def _pool(pool: Pool, given: Given) -> Pool:
    """A small pool is declared by ``maximum_workers`` alone: the other defaults keep below it."""
    if not given("pool.maximum_spare"):
        pool = replace(pool, maximum_spare=min(pool.maximum_spare, pool.maximum_workers))
    if not given("pool.minimum_spare"):
        pool = replace(pool, minimum_spare=min(pool.minimum_spare, pool.maximum_spare))
    if not given("pool.start_workers"):
        pool = replace(pool, start_workers=min(pool.start_workers, pool.maximum_workers))
    return pool


def _logging(logging: Logging, given: Given, surroundings: Surroundings) -> Logging:
    if surroundings.terminal and not given("logging.target"):
        return replace(logging, target="stderr")
    return logging
