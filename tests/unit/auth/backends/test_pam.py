"""What answers of PAM mean, with a PAM that answers as it is told."""

from __future__ import annotations

import pytest

from preforkpop.auth.backends.libpam import Code, Result
from preforkpop.auth.backends.pam import Pam, decide
from preforkpop.auth.cache import Cache
from preforkpop.auth.credentials import Authenticated, Outcome, Refusal
from tests.unit.auth.helpers import KEY, credentials


class FakePam:
    """Knows fred, whose password is "secret"; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes, str, str]] = []
        self.takes_everything = False
        self.result: Result | None = None

    def __call__(self, service: str, user: str, password: bytes, rhost: str, tty: str) -> Result:
        self.asked.append((service, user, password, rhost, tty))
        if self.result is not None:
            return self.result
        if self.takes_everything or (user, password) == ("fred", b"secret"):
            return Result("account", Code.SUCCESS, user)
        return Result("authenticate", Code.AUTH_ERR, text="Authentication failure")


class Users:
    """fred and root are the system's users."""

    def barred(self, name: str) -> bool:
        return name == "root"

    def exists(self, name: str) -> bool:
        return name in ("fred", "root")


class Machine:
    """A source on a fake PAM."""

    def __init__(self) -> None:
        self.pam = FakePam()
        self.source = Pam("pop3", Cache(KEY, 300), Users(), self.pam)

    def check(
        self, user: str = "fred", secret: bytes = b"secret", now: float = 0.0, **changes: object
    ) -> Outcome:
        return self.source.check(credentials(user.encode(), secret, **changes), user, now)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def code(outcome: Outcome) -> str:
    assert isinstance(outcome, Refusal)
    return outcome.code


def test_pam_is_asked_with_service_address_and_terminal(machine: Machine) -> None:
    assert machine.check() == Authenticated("fred")
    assert machine.pam.asked == [("pop3", "fred", b"secret", "192.0.2.7", "preforkpop")]


def test_a_wrong_password_is_wrong_each_time(machine: Machine) -> None:
    for _ in range(3):
        assert code(machine.check(secret=b"wrong")) == "AUTH"
    assert len(machine.pam.asked) == 3


def test_a_right_password_is_remembered_for_user_address_and_mechanism(machine: Machine) -> None:
    for _ in range(3):
        machine.check()
    assert len(machine.pam.asked) == 1
    machine.check(client="198.51.100.1")
    machine.check(mechanism="PLAIN")
    machine.check(now=301.0)
    assert len(machine.pam.asked) == 4


def test_apop_is_not_pams(machine: Machine) -> None:
    assert machine.check(mechanism="APOP") is None
    assert not machine.pam.asked
    assert not machine.source.pretend(credentials(mechanism="APOP"))
    assert machine.source.pretend(credentials())


@pytest.mark.parametrize("secret", [b"secret\0", b"secret\0x", b"", b"s" * 512])
def test_passwords_that_pam_cannot_take_whole_cost_the_same_and_are_wrong(
    machine: Machine, secret: bytes
) -> None:
    assert code(machine.check(secret=secret)) == "AUTH"
    assert len(machine.pam.asked) == 1
    assert machine.pam.asked[0][2] not in (secret, b"secret")
    machine.pam.takes_everything = True
    assert code(machine.check(secret=secret)) == "AUTH"


def test_root_is_never_tried(machine: Machine) -> None:
    machine.pam.takes_everything = True
    assert code(machine.check("root", b"right")) == "AUTH"
    assert b"right" not in [asked[2] for asked in machine.pam.asked]
    assert len(machine.pam.asked) == 1


def test_an_unknown_user_may_be_known_to_the_next_source(machine: Machine) -> None:
    assert machine.check("nobody-here") is None
    machine.pam.result = Result("authenticate", Code.USER_UNKNOWN)
    assert machine.check("fred") is None


def test_the_name_is_what_pam_made_of_it(machine: Machine) -> None:
    machine.pam.result = Result("account", Code.SUCCESS, "frederick")
    assert machine.check() == Authenticated("frederick")
    assert machine.check() == Authenticated("frederick")
    assert len(machine.pam.asked) == 1


@pytest.mark.parametrize("user", ["", "../root", "a/b"])
def test_a_name_that_pam_made_invalid_is_refused(user: str) -> None:
    assert code(decide("pop3", Result("account", Code.SUCCESS, user))) == "AUTH"


@pytest.mark.parametrize(
    ("stage", "number", "expected"),
    [
        ("authenticate", Code.AUTH_ERR, "AUTH"),
        ("authenticate", Code.PERM_DENIED, "AUTH"),
        ("authenticate", Code.MAXTRIES, "AUTH"),
        ("authenticate", Code.ACCT_EXPIRED, "AUTH"),
        ("account", Code.ACCT_EXPIRED, "AUTH"),
        ("account", Code.NEW_AUTHTOK_REQD, "AUTH"),
        ("account", Code.AUTHTOK_EXPIRED, "AUTH"),
        ("account", Code.PERM_DENIED, "AUTH"),
        ("account", Code.USER_UNKNOWN, "AUTH"),
        ("start", 26, "SYS/TEMP"),
        ("start", Code.AUTH_ERR, "SYS/TEMP"),
        ("authenticate", 3, "SYS/TEMP"),  # PAM_SERVICE_ERR
        ("authenticate", 4, "SYS/TEMP"),  # PAM_SYSTEM_ERR
        ("authenticate", 8, "SYS/TEMP"),  # PAM_CRED_INSUFFICIENT
        ("authenticate", 9, "SYS/TEMP"),  # PAM_AUTHINFO_UNAVAIL
        ("authenticate", 26, "SYS/TEMP"),  # PAM_ABORT
        ("authenticate", 28, "SYS/TEMP"),  # PAM_MODULE_UNKNOWN
        ("authenticate", Code.CONV_ERR, "SYS/TEMP"),
        ("account", 3, "SYS/TEMP"),
        ("account", 9, "SYS/TEMP"),
        ("account", 99, "SYS/TEMP"),
    ],
)
def test_results_are_the_clients_or_the_servers_fault(
    stage: str, number: int, expected: str
) -> None:
    refusal = decide("pop3", Result(stage, number, text="library's words"))
    assert isinstance(refusal, Refusal)
    assert refusal.code == expected
    assert refusal.detail == (f"PAM service pop3: library's words (code {number:d}, {stage})")


def test_expiry_is_told_after_the_password_was_right_and_not_before() -> None:
    before = decide("pop3", Result("authenticate", Code.ACCT_EXPIRED))
    after = decide("pop3", Result("account", Code.ACCT_EXPIRED))
    assert isinstance(before, Refusal)
    assert isinstance(after, Refusal)
    assert before.text == "Wrong user name or password"
    assert after.text == "The account has expired"


def test_failures_are_not_remembered(machine: Machine) -> None:
    machine.pam.result = Result("account", Code.ACCT_EXPIRED)
    assert code(machine.check()) == "AUTH"
    machine.pam.result = None
    assert machine.check() == Authenticated("fred")
