"""How each kind of process begins: what it keeps of the master, whom it becomes, what it runs.

Everything here runs in a child right after its fork from the master or from an inetd process, as
root when the server was started as root, and hands over to that process's own ``main``. Those are
imported here and nowhere else in the master, and after the fork, so that no process carries
another's libraries.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from preforkpop.config.settings import Settings
from preforkpop.ipc.nursing import Nursing
from preforkpop.ipc.scoreboard import Scoreboard, Slot
from preforkpop.ipc.wiring import Wiring
from preforkpop.system import descriptors, privileges, process
from preforkpop.system.accounts import login_user, mail_user
from preforkpop.system.log import Log
from preforkpop.system.signals import as_child

NURSERY = (
    "import sys; sys.path[:0] = sys.argv[2:]; from preforkpop.nursery.main import main;"
    " sys.exit(main(int(sys.argv[1])))"
)
"""The nursery's program: without ``site``, so that it imports nothing that it has no use for."""


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


def nursery(nursing: Nursing) -> int:
    """Become the nursery: another program, so that nothing of the master is in its memory."""
    told, tell = os.pipe2(os.O_CLOEXEC)
    inherited = (told, *nursing.descriptors())
    descriptors.keep_only((*inherited, tell))
    as_child()
    with open(tell, "wb") as pipe:
        pipe.write(nursing.pack())
    for descriptor in inherited:
        os.set_inheritable(descriptor, True)
    places = {_place_of(package) for package in ("preforkpop", "setproctitle")}
    os.execv(  # noqa: S606 - there is no shell to be had
        sys.executable,
        [sys.executable, "-I", "-S", "-c", NURSERY, str(told), *sorted(places)],
    )


def _place_of(package: str) -> str:
    """The directory from which a package is imported."""
    found = importlib.util.find_spec(package)
    assert found is not None and found.origin is not None
    return os.path.dirname(os.path.dirname(found.origin))


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
