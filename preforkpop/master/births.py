"""How each kind of process begins: what it keeps of the master, whom it becomes, what it runs.

Everything here runs in a child right after its fork from the master or from an inetd process, as
root when the server was started as root, and hands over to that process's own ``main``. Those are
imported here and nowhere else in the master, and after the fork, so that no process carries
another's libraries. The worker's modules are the exception: they are imported once, before, as
workers are forked by the thousand.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from preforkpop.config.settings import Settings
from preforkpop.ipc.scoreboard import Scoreboard, Slot
from preforkpop.ipc.wiring import Wiring
from preforkpop.system import descriptors, privileges, process
from preforkpop.system.accounts import login_user, mail_user
from preforkpop.system.log import Log, escape
from preforkpop.system.signals import as_child
from preforkpop.worker import main as worker
from preforkpop.worker.repair import Repair


@dataclass(frozen=True, slots=True)
class Identities:
    """Whom processes become; the ids are this process's own when it is not root."""

    root: bool
    login: tuple[int, int]
    mail: tuple[int, int]  # virtual users: the owner of all mail


def identities(settings: Settings) -> Identities:
    """Look the configured accounts up; SetupError."""
    service = settings.service
    own = (os.geteuid(), os.getegid())
    mail = mail_user(service.mail_user) if service.users == "virtual" else own
    return Identities(os.geteuid() == 0, login_user(service.login_user), mail)


@dataclass(frozen=True, slots=True)
class Common:
    """What every birth needs."""

    log: Log
    log_socket: socket.socket
    identities: Identities
    jail: str  # an empty directory
    host: str
    version: str


def listener(
    common: Common,
    settings: Settings,
    listening: Sequence[tuple[int, socket.socket]],
    control: socket.socket,
    admitted: socket.socket,
    slot: Slot,
) -> int:
    """Become the listener."""
    from preforkpop.listener.main import Listener

    keep = [sock.fileno() for _index, sock in listening]
    _begin(common, "listener", *keep, control.fileno(), admitted.fileno())
    _drop(common)
    slot.begin(os.getpid())
    log = common.log.as_role("listener")
    return Listener(listening, control, admitted, settings.admission, slot, log).run()


def login(common: Common, settings: Settings, wiring: Wiring, board: Scoreboard) -> int:
    """Become the parent of the login processes."""
    from preforkpop.login import main as login_main

    duty = login_main.Duty(
        settings=settings,
        admitted=wiring.admitted.receive,
        attempts=wiring.attempts.send,
        verdicts=[pipe.receive for pipe in wiring.verdicts],
        board=board,
        jail=common.jail if common.identities.root else "",
        uid=common.identities.login[0],
        gid=common.identities.login[1],
        host=common.host,
    )
    ends = (duty.admitted, duty.attempts, *duty.verdicts)
    _begin(common, "login, parent", *(end.fileno() for end in ends))
    return login_main.run(duty, common.log.as_role("login"))


def auth(common: Common, settings: Settings, wiring: Wiring, board: Scoreboard, number: int) -> int:
    """Become an auth process."""
    from preforkpop.auth.main import Auth
    from preforkpop.auth.verify import SetupError, Verifier

    verdicts = {index: pipe.send for index, pipe in enumerate(wiring.verdicts)}
    ends = (wiring.attempts.receive, wiring.grants.send, *verdicts.values())
    _begin(common, "auth", *(end.fileno() for end in ends))
    privileges.hide_memory()
    log = common.log.as_role("auth")
    starting = True

    def report(line: str) -> None:
        if not starting:  # what is wrong at the start the master has told
            log.warning(line)

    try:
        verifier = Verifier(settings, key=os.urandom(32), report=report)
    except SetupError as error:
        log.error(str(error))
        return process.EXIT_CONFIG
    starting = False
    slot = board.slot(number)
    slot.begin(os.getpid())
    return Auth(wiring.attempts.receive, wiring.grants.send, verdicts, verifier, slot, log).run()


def worker_process(common: Common, duty: worker.Duty, board: Scoreboard, number: int) -> int:
    """Become a worker: with virtual users the owner of the mail, with system users root for now."""
    _begin(common, "worker", duty.jobs.fileno(), duty.wake, duty.stacks)
    if not duty.becomes_user:
        privileges.become(*common.identities.mail)
    privileges.no_new_privileges()
    random.seed()
    return worker.Worker(duty, board, board.slot(number), common.log.as_role("worker")).run()


def logger(
    common: Common,
    settings: Settings,
    lines: socket.socket,
    stacks: int,
    target: int,
    slot: Slot,
) -> int:
    """Become the logger. ``target``: the descriptor of the log file; standard error is 2."""
    from preforkpop.logger import sinks
    from preforkpop.logger.main import run

    as_child()
    descriptors.keep_only((lines.fileno(), stacks, target))
    process.title("logger")
    process.forbid_core_dumps()
    if common.identities.root:
        privileges.become(*common.identities.login)
    slot.begin(os.getpid())
    return run(lines, stacks, sinks.make(settings.logging, target))


def repair(common: Common, what: Repair, user: str) -> int:
    """Become the user, and put the maildrop right."""
    _begin(common, f"repair, {escape(user)}")
    return what.run(user, common.log.as_role("repair"))


def _begin(common: Common, title: str, *keep: int) -> None:
    as_child()
    descriptors.keep_only((*keep, common.log_socket.fileno()))
    process.title(title)


def _drop(common: Common) -> None:
    """Give up all rights: an empty root directory, the login user."""
    if common.identities.root:
        privileges.confine(common.jail)
        privileges.become(*common.identities.login)
    privileges.no_new_privileges()
    privileges.hide_memory()
