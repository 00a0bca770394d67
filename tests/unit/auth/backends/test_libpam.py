"""The binding against the real library, with services and a user made for the tests."""

from __future__ import annotations

import ctypes
import os
import pathlib
import subprocess
from collections.abc import Callable, Iterator

import pytest

from preforkpop.auth.backends import libpam
from preforkpop.auth.backends.libpam import Code, Result, ask
from preforkpop.auth.backends.pam import TTY, Pam
from preforkpop.auth.cache import Cache
from preforkpop.auth.credentials import Authenticated, Refusal
from preforkpop.auth.identity import Account
from preforkpop.auth.verify import Verifier
from tests.unit.auth.helpers import KEY, credentials, pam, settings, verifier

PASSWORD = "pass w\trd:é".encode()

MakeService = Callable[[str], str]


@pytest.fixture
def service() -> Iterator[MakeService]:
    """Make a PAM service of a name of its own; it is removed after the test."""
    made: list[pathlib.Path] = []

    def make(text: str) -> str:
        path = pathlib.Path(f"/etc/pam.d/preforkpop-test-{os.getpid()}-{len(made)}")
        made.append(path)
        path.write_text(text)
        return path.name

    yield make
    for path in made:
        path.unlink()


@pytest.fixture
def user() -> Iterator[str]:
    """Make a user with PASSWORD; it is removed after the test."""
    name = f"pfptest{os.getpid() % 100000}"
    run("useradd", "--no-create-home", "--shell", "/usr/sbin/nologin", name)
    try:
        run("chpasswd", given=name.encode() + b":" + PASSWORD + b"\n")
        yield name
    finally:
        run("userdel", name)


def run(*command: str, given: bytes = b"") -> None:
    subprocess.run(command, input=given, check=True, capture_output=True)


PERMIT = "auth required pam_permit.so\naccount required pam_permit.so\n"
UNIX = "auth required pam_unix.so\naccount required pam_unix.so\n"


# -- the conversation, without privilege ----------------------------------------------------


def converse(styles: list[int]) -> tuple[int, list[bytes | None]]:
    """Have prompts answered as a module does, and free what it must free."""
    library = libpam.load()
    messages = (ctypes.POINTER(libpam._Message) * max(len(styles), 1))()
    kept = [libpam._Message(style, b"prompt") for style in styles]
    for number, message in enumerate(kept):
        messages[number] = ctypes.pointer(message)
    responses = ctypes.POINTER(libpam._Response)()
    result = libpam._answer(
        library,
        len(styles),
        messages,
        ctypes.pointer(responses),
        {1: b"secret", 2: b"fred"},
    )
    if result != Code.SUCCESS:
        assert not responses
        return result, []
    texts = [responses[number].text for number in range(len(styles))]
    answers = [None if text is None else ctypes.string_at(text) for text in texts]
    for text in texts:
        library.free(text)
    library.free(ctypes.cast(responses, ctypes.c_void_p))
    return result, answers


def test_hidden_prompts_get_the_password_others_the_name_and_messages_nothing() -> None:
    assert converse([3, 1, 2, 4]) == (Code.SUCCESS, [None, b"secret", b"fred", None])


@pytest.mark.parametrize("styles", [[], [1] * 33, [5], [1, 7], [1, 1, 0]])
def test_a_conversation_that_makes_no_sense_is_refused(styles: list[int]) -> None:
    assert converse(styles) == (Code.CONV_ERR, [])


def test_no_repr_of_a_result_can_show_a_password() -> None:
    fields = set(Result.__dataclass_fields__)
    assert fields == {"stage", "code", "user", "text"}


# -- the library ----------------------------------------------------------------------------


@pytest.mark.root
def test_permit_grants(service: MakeService) -> None:
    result = ask(service(PERMIT), "fred", b"x", "192.0.2.7", TTY)
    assert result == Result("account", Code.SUCCESS, "fred", "Success")
    assert result.granted


@pytest.mark.root
def test_deny_refuses_to_authenticate(service: MakeService) -> None:
    name = service("auth required pam_deny.so\naccount required pam_permit.so\n")
    result = ask(name, "fred", b"x", "192.0.2.7", TTY)
    assert (result.stage, result.code) == ("authenticate", Code.AUTH_ERR)
    assert not result.granted


@pytest.mark.root
def test_an_account_that_is_denied_is_refused_after_the_password(service: MakeService) -> None:
    name = service("auth required pam_permit.so\naccount required pam_deny.so\n")
    result = ask(name, "fred", b"x", "192.0.2.7", TTY)
    assert result.stage == "account"
    assert not result.granted
    outcome = verifier(settings(pam(name))).verify(credentials())
    assert isinstance(outcome, Refusal)
    assert outcome.code == "AUTH"


@pytest.mark.root
def test_a_module_that_is_missing_is_the_servers_fault(service: MakeService) -> None:
    name = service("auth required pam_not_there.so\naccount required pam_permit.so\n")
    outcome = verifier(settings(pam(name))).verify(credentials(b"nobody"))
    assert isinstance(outcome, Refusal)
    assert outcome.code == "SYS/TEMP"
    assert name in outcome.detail


@pytest.mark.root
def test_address_terminal_and_service_are_set_before_authenticate(
    service: MakeService, tmp_path: pathlib.Path
) -> None:
    seen = tmp_path / "seen"
    script = tmp_path / "script"
    script.write_text(
        f'#!/bin/sh\necho "$PAM_TYPE $PAM_SERVICE $PAM_USER $PAM_RHOST $PAM_TTY" >> {seen}\n'
    )
    script.chmod(0o755)
    name = service(f"auth required pam_exec.so quiet {script}\naccount required pam_permit.so\n")
    assert ask(name, "fred", b"x", "2001:db8::7", TTY).granted
    assert seen.read_text() == f"auth {name} fred 2001:db8::7 preforkpop\n"


@pytest.mark.root
def test_modules_get_the_password_as_octets(service: MakeService, tmp_path: pathlib.Path) -> None:
    seen = tmp_path / "seen"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ncat > {seen}\n")
    script.chmod(0o755)
    name = service(
        f"auth required pam_exec.so quiet expose_authtok {script}\naccount required pam_permit.so\n"
    )
    assert ask(name, "fred", b"\xff \t!" + PASSWORD, "192.0.2.7", TTY).granted
    assert seen.read_bytes().rstrip(b"\0") == b"\xff \t!" + PASSWORD


@pytest.mark.root
def test_pam_unix_decides_about_a_real_user(service: MakeService, user: str) -> None:
    name = service(UNIX)
    assert ask(name, user, PASSWORD, "192.0.2.7", TTY).granted
    assert ask(name, user, PASSWORD[:-1], "192.0.2.7", TTY).code == Code.AUTH_ERR
    assert ask(name, user, b"", "192.0.2.7", TTY).code == Code.AUTH_ERR
    unknown = ask(name, "no-such-user-here", PASSWORD, "192.0.2.7", TTY)
    assert (unknown.stage, unknown.code) == ("authenticate", Code.USER_UNKNOWN)


@pytest.mark.root
def test_an_account_without_a_password_is_open_to_none(service: MakeService, user: str) -> None:
    name = service(UNIX.replace("pam_unix.so", "pam_unix.so nullok"))
    run("passwd", "--delete", user)
    for secret in (b"anything", b""):
        assert not ask(name, user, secret, "192.0.2.7", TTY).granted


@pytest.mark.root
def test_an_expired_account_is_told_with_the_right_password_only(
    service: MakeService, user: str
) -> None:
    run("chage", "--expiredate", "2001-01-01", user)
    one = system_verifier(service(UNIX))
    right = one.verify(credentials(user.encode(), PASSWORD))
    wrong = one.verify(credentials(user.encode(), b"wrong"))
    assert isinstance(right, Refusal)
    assert isinstance(wrong, Refusal)
    assert (right.code, right.text) == ("AUTH", "The account has expired")
    assert (wrong.code, wrong.text) == ("AUTH", "Wrong user name or password")


@pytest.mark.root
def test_a_locked_account_is_refused(service: MakeService, user: str) -> None:
    run("usermod", "--lock", user)
    outcome = system_verifier(service(UNIX)).verify(credentials(user.encode(), PASSWORD))
    assert isinstance(outcome, Refusal)
    assert outcome.code == "AUTH"


@pytest.mark.root
def test_a_real_user_gets_an_account(service: MakeService, user: str) -> None:
    one = system_verifier(service(UNIX))
    outcome = one.verify(credentials(user.encode(), PASSWORD))
    assert isinstance(outcome, Account)
    assert (outcome.user, outcome.path) == (user, f"/var/mail/{user}")
    assert outcome.uid > 10
    nul = one.verify(credentials(user.encode(), PASSWORD + b"\0junk"))
    assert isinstance(nul, Refusal)
    assert nul.code == "AUTH"


@pytest.mark.root
def test_a_user_whom_only_pam_knows_is_refused(service: MakeService) -> None:
    outcome = system_verifier(service(PERMIT)).verify(credentials(b"no-such-user-here"))
    assert isinstance(outcome, Refusal)
    assert (outcome.code, outcome.text) == ("AUTH", "Wrong user name or password")


@pytest.mark.root
def test_root_is_refused_whatever_pam_says(service: MakeService) -> None:
    outcome = system_verifier(service(PERMIT)).verify(credentials(b"root"))
    assert isinstance(outcome, Refusal)
    assert (outcome.code, outcome.text) == ("AUTH", "Wrong user name or password")


@pytest.mark.root
@pytest.mark.timeout(20)
def test_a_delay_that_a_module_asks_for_does_not_hold_this_process(service: MakeService) -> None:
    name = service(
        "auth optional pam_faildelay.so delay=60000000\nauth required pam_deny.so\n"
        "account required pam_permit.so\n"
    )
    assert ask(name, "fred", b"x", "192.0.2.7", TTY).code == Code.AUTH_ERR


@pytest.mark.root
def test_nothing_piles_up(service: MakeService) -> None:
    name = service(PERMIT)
    source = Pam(name, Cache(KEY, 0), Everybody(), None)
    for _ in range(5):
        source.check(credentials(), "fred", 0.0)
    before = (len(os.listdir("/proc/self/fd")), resident())
    for _ in range(2000):
        assert source.check(credentials(secret=b"x" * 500), "fred", 0.0) == Authenticated("fred")
    assert len(os.listdir("/proc/self/fd")) == before[0]
    assert resident() - before[1] < 700  # kibibytes; the passwords alone are 1,000


def resident() -> int:
    """Kibibytes of this process that are in memory."""
    text = pathlib.Path("/proc/self/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


class Everybody:
    """Each name exists and none is barred."""

    def barred(self, name: str) -> bool:
        return False

    def exists(self, name: str) -> bool:
        return True


def system_verifier(name: str) -> Verifier:
    return verifier(settings(pam(name), users="system", mail_group="mail", path="/var/mail/{user}"))
