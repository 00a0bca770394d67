"""Whether the settings about users, passwords and maildrops go together. Pure.

A configuration with which nobody can ever log in is an error. One with which nobody can log in
until there is a certificate is a warning: that is what a new installation starts with, nothing
about it is unsafe, and ``status`` and ``stop`` have to work with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preforkpop.auth.credentials import SetupError
from preforkpop.auth.identity import check_path
from preforkpop.auth.settings import MECHANISMS, Source
from preforkpop.config.findings import Check, Finding, View, found

_NEEDS = {"pam": "service", "passwd-file": "path"}
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


def _service(view: View) -> Iterator[Finding]:
    service = view.settings.service
    virtual = service.users == "virtual"
    if virtual and not service.mail_user and view.surroundings.root:
        yield found(
            "service.mail_user",
            problem="has to name the account that owns the mail of virtual users when the server is"
            " started as root",
            related=("service.users",),
        )
    for key, used in (("mail_user", virtual), ("mail_group", not virtual)):
        if view.given(f"service.{key}") and getattr(service, key) and not used:
            yield found(
                f"service.{key}",
                problem=f'is not used when service.users is "{service.users}"',
                warning=True,
            )


def _ways_to_log_in(view: View) -> Iterator[Finding]:
    section = view.settings.authentication
    word = section.clear_text_password
    passwords = bool({"USER", "PLAIN"}.intersection(section.mechanisms))
    apop = "APOP" in section.mechanisms and any(
        one.type == "passwd-file" for one in section.sources
    )
    related = ("authentication.mechanisms", "authentication.sources", "tls.certificate")
    if not apop and not passwords:
        names = ", ".join(MECHANISMS)
        yield found(
            "authentication.mechanisms",
            problem="has none with which anybody could log in; accepted: at least one of"
            f" {names}, and with APOP alone a source of type passwd-file",
            related=("authentication.sources",),
        )
    elif not apop and word == "never":
        yield found(
            "authentication.clear_text_password",
            problem='"never" leaves APOP alone, which needs a source of type passwd-file: nobody'
            ' could log in; accepted: "tls", "local", "always" or "default"',
            related=related,
        )
    elif passwords and word == "tls" and not view.settings.tls.certificate:
        left = "only APOP is left" if apop else "nobody can log in"
        yield found(
            "authentication.clear_text_password",
            problem=f'"tls" allows passwords only under TLS, and there is no certificate: {left};'
            ' set tls.certificate, or "local" or "always" here',
            warning=True,
            related=related,
        )


def _delays(view: View) -> Iterator[Finding]:
    section = view.settings.authentication
    if section.failure_delay > section.maximum_delay:
        yield found(
            "authentication.failure_delay",
            "authentication.maximum_delay",
            problem=f"failure_delay is {section.failure_delay:g} and maximum_delay"
            f" {section.maximum_delay:g}; accepted: failure_delay <= maximum_delay",
        )


def _sources(view: View) -> Iterator[Finding]:
    seen: list[Source] = []
    default = Source()
    for number, source in enumerate(view.settings.authentication.sources):
        place = ("authentication", "sources", number)
        for kind, key in _NEEDS.items():
            value = getattr(source, key)
            if kind == source.type and not value:
                problem = f'is missing; a source of type "{kind}" needs it'
                yield Finding(((*place, key),), problem)
            if kind != source.type and value != getattr(default, key):
                problem = f'is for sources of type "{kind}", and this is "{source.type}"'
                yield Finding(((*place, key),), problem)
        if "/" in source.service:
            problem = "is no name of a service; accepted: the name of a file in /etc/pam.d"
            yield Finding(((*place, "service"),), problem)
        if source in seen:
            yield Finding(((*place, "type"),), "is the same source as one before")
        seen.append(source)


def _maildrop(view: View) -> Iterator[Finding]:
    key = "maildrop.path"
    template = view.settings.maildrop.path
    try:
        check_path(template)
    except SetupError as error:
        yield found(key, problem=str(error).removeprefix(f"{key}: "))
        return
    placeholders = set(_PLACEHOLDER.findall(template))
    if set("{}").intersection(_PLACEHOLDER.sub("", template)):
        yield found(key, problem="has a { or } without its counterpart")
    elif not placeholders.intersection(("{user}", "{name}", "{home}")):
        yield found(
            key,
            problem="is the same maildrop for all users; accepted: a path with {user}, {name} or"
            " {home}",
        )
    if "{home}" in placeholders and view.settings.service.users == "virtual":
        yield from _homes_of_virtual_users(view)


def _homes_of_virtual_users(view: View) -> Iterator[Finding]:
    types = {source.type for source in view.settings.authentication.sources}
    related = ("service.users", "authentication.sources")
    if types == {"pam"}:
        problem = "needs {home}, which PAM does not tell of virtual users"
        yield found("maildrop.path", problem=problem, related=related)
    elif "pam" in types:
        problem = "needs {home}, which only users in a passwd-file have when users are virtual"
        yield found("maildrop.path", problem=problem, warning=True, related=related)


USER_CHECKS: tuple[Check, ...] = (_service, _ways_to_log_in, _delays, _sources, _maildrop)
