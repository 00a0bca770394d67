"""The verifier as a whole: which source, which answer, which work."""

from __future__ import annotations

import hashlib
import pathlib
import random
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from preforkpop.auth import schemes
from preforkpop.auth.backends import libpam
from preforkpop.auth.backends.libpam import Code, Result
from preforkpop.auth.verify import Account, Refusal, SetupError
from tests.unit.auth.helpers import (
    QUICK_CRYPT,
    STAMP,
    Clock,
    credentials,
    pam,
    passwd_file,
    settings,
    verifier,
)

APOP = b"c4c9334bac560ecc979e58001b3e22fb"  # of "tanstaaf" and STAMP: RFC 1939 section 7
LOOPBACK = {"tls": False, "client": "127.0.0.1"}
ELSEWHERE = {"tls": False, "client": "192.0.2.7"}

MakeFile = Callable[[str], SimpleNamespace]


@pytest.fixture
def users(tmp_path: pathlib.Path) -> MakeFile:
    """Make a passwd-file of this text, as a source."""
    made: list[pathlib.Path] = []

    def make(text: str) -> SimpleNamespace:
        path = tmp_path / f"users{len(made)}"
        made.append(path)
        path.write_text(text)
        path.chmod(0o600)
        return passwd_file(str(path))

    return make


def refusal(outcome: Account | Refusal) -> tuple[str, str]:
    assert isinstance(outcome, Refusal)
    return outcome.code, outcome.text


WRONG = ("AUTH", "Wrong user name or password")


@pytest.mark.parametrize("mechanism", ["USER", "PLAIN"])
def test_a_right_password_gives_the_account(users: MakeFile, mechanism: str) -> None:
    one = verifier(settings(users("fred:{PLAIN}secret\n")))
    account = one.verify(credentials(b"fred", b"secret", mechanism=mechanism))
    assert isinstance(account, Account)
    assert (account.user, account.path) == ("fred", "/mail/fred")


def test_apop_gives_the_account(users: MakeFile) -> None:
    one = verifier(settings(users("mrose:{PLAIN}tanstaaf\n")))
    account = one.verify(credentials(b"mrose", APOP, mechanism="APOP", **ELSEWHERE))
    assert isinstance(account, Account)


def test_names_are_folded_as_configured(users: MakeFile) -> None:
    source = users("fred:{PLAIN}secret\n")
    one = verifier(settings(source, downcase_user=True, trim_domain=True))
    account = one.verify(credentials(b"FRED@Example.org", b"secret"))
    assert isinstance(account, Account)
    assert account.user == "fred"
    assert refusal(verifier(settings(source)).verify(credentials(b"FRED", b"secret"))) == WRONG


def test_sources_are_asked_in_order_until_one_knows_the_user(users: MakeFile) -> None:
    one = verifier(
        settings(users("fred:{PLAIN}first\n"), users("fred:{PLAIN}second\njoe:{PLAIN}joe\n"))
    )
    assert isinstance(one.verify(credentials(b"fred", b"first")), Account)
    assert refusal(one.verify(credentials(b"fred", b"second"))) == WRONG
    assert isinstance(one.verify(credentials(b"joe", b"joe")), Account)


def test_a_source_that_cannot_be_read_is_never_a_wrong_password(
    users: MakeFile, tmp_path: pathlib.Path
) -> None:
    reports: list[str] = []
    missing = passwd_file(str(tmp_path / "missing"))
    one = verifier(settings(missing, users("fred:{PLAIN}secret\n")), reports)
    outcome = one.verify(credentials(b"fred", b"secret"))
    assert isinstance(outcome, Refusal)
    assert outcome.code == "SYS/TEMP"
    assert str(tmp_path / "missing") in outcome.detail
    assert len(reports) == 1  # at the start


def test_a_hash_that_cannot_be_computed_is_never_a_wrong_password(
    users: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = verifier(settings(users(f"fred:{QUICK_CRYPT}\n")))
    monkeypatch.setattr(schemes.libcrypt, "crypt", lambda phrase, setting: b"*0")
    for user in (b"fred", b"nobody"):
        assert refusal(one.verify(credentials(user, b"x")))[0] == "SYS/TEMP"


@pytest.mark.parametrize("mechanism", ["USER", "PLAIN", "APOP"])
def test_an_empty_secret_is_never_right(users: MakeFile, mechanism: str) -> None:
    one = verifier(settings(users("fred:{PLAIN}secret\nann:{PLAIN}\njim::\n")))
    digest = hashlib.md5(STAMP).hexdigest().encode()
    for user in (b"fred", b"ann", b"jim"):
        for secret in (b"", digest):
            outcome = one.verify(credentials(user, secret, mechanism=mechanism))
            assert refusal(outcome) == WRONG


@pytest.mark.parametrize(
    ("authzid", "right"),
    [(b"", True), (b"fred", True), (b"joe", False), (b"Fred", False), (b"fred\0", False)],
)
def test_nobody_logs_in_for_another(users: MakeFile, authzid: bytes, right: bool) -> None:
    one = verifier(settings(users("fred:{PLAIN}secret\njoe:{PLAIN}joe\n")))
    outcome = one.verify(credentials(b"fred", b"secret", mechanism="PLAIN", authzid=authzid))
    assert isinstance(outcome, Account) is right
    assert right or refusal(outcome)[0] == "AUTH"


@pytest.mark.parametrize("user", [b"../fred", b"", b"\xff", b"fred\0", b"a/b", b"fred\r\n"])
def test_names_that_cannot_exist_look_like_a_wrong_password(users: MakeFile, user: bytes) -> None:
    one = verifier(settings(users("fred:{PLAIN}secret\n")))
    assert refusal(one.verify(credentials(user, b"secret"))) == WRONG


@pytest.mark.parametrize("mechanism", ["APOP", "PLAIN", "USER", "LOGIN", "SCRAM-SHA-256", ""])
def test_a_mechanism_that_is_not_configured_is_refused(users: MakeFile, mechanism: str) -> None:
    one = verifier(settings(users("fred:{PLAIN}secret\n"), mechanisms=("SCRAM-SHA-256",)))
    outcome = one.verify(credentials(b"fred", b"secret", mechanism=mechanism))
    assert refusal(outcome) == ("AUTH", "This way of logging in is not available")


@pytest.mark.parametrize(
    ("word", "way", "right"),
    [
        ("tls", ELSEWHERE, False),
        ("tls", LOOPBACK, False),
        ("local", LOOPBACK, True),
        ("local", ELSEWHERE, False),
        ("always", ELSEWHERE, True),
        ("never", LOOPBACK, False),
    ],
)
@pytest.mark.parametrize("mechanism", ["USER", "PLAIN"])
def test_passwords_in_the_clear_are_refused_right_or_wrong(
    users: MakeFile, word: str, way: dict[str, object], right: bool, mechanism: str
) -> None:
    one = verifier(settings(users("fred:{PLAIN}secret\n"), clear_text_password=word))
    outcome = one.verify(credentials(b"fred", b"secret", mechanism=mechanism, **way))
    assert isinstance(outcome, Account) is right
    if not right:
        wrong = one.verify(credentials(b"nobody", b"secret", mechanism=mechanism, **way))
        assert outcome == wrong


def test_default_wants_apop_of_those_who_have_a_secret_for_it(users: MakeFile) -> None:
    source = users(f"fred:{{PLAIN}}secret\njoe:{QUICK_CRYPT}\n")
    one = verifier(settings(source, clear_text_password="default"))
    code, text = refusal(one.verify(credentials(b"fred", b"secret", **ELSEWHERE)))
    assert code == "AUTH"
    assert text.startswith("You must use stronger authentication")
    assert refusal(one.verify(credentials(b"fred", b"wrong", **ELSEWHERE))) == WRONG
    assert isinstance(one.verify(credentials(b"fred", b"secret", tls=True)), Account)
    assert isinstance(one.verify(credentials(b"joe", b"x", **ELSEWHERE)), Account)
    without = settings(source, clear_text_password="default", mechanisms=("USER",))
    assert isinstance(verifier(without).verify(credentials(b"fred", b"secret")), Account)


# -- the same work and answer for whom nobody knows -----------------------------------------


class Counts:
    """How often each expensive function ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.crypt = self.apop = self.plain = self.pam = 0
        real_crypt, real_apop = schemes.libcrypt.crypt, schemes.apop_matches
        real_plain = schemes._MATCH["PLAIN"]

        def crypt(phrase: bytes, setting: bytes) -> bytes:
            self.crypt += 1
            return real_crypt(phrase, setting)

        def apop(stored: schemes.Stored | None, stamp: bytes, digest: bytes) -> bool:
            self.apop += 1
            return real_apop(stored, stamp, digest)

        def plain(stored: schemes.Stored, secret: bytes) -> bool:
            self.plain += 1
            return real_plain(stored, secret)

        def ask(service: str, user: str, password: bytes, rhost: str, tty: str) -> Result:
            self.pam += 1
            return Result("authenticate", Code.AUTH_ERR)

        monkeypatch.setattr(schemes.libcrypt, "crypt", crypt)
        monkeypatch.setattr(schemes, "apop_matches", apop)
        monkeypatch.setitem(schemes._MATCH, "PLAIN", plain)
        monkeypatch.setattr(libpam, "ask", ask)

    def taken(self) -> tuple[int, int, int, int]:
        """Return the counts and begin anew."""
        counts = (self.crypt, self.apop, self.plain, self.pam)
        self.crypt = self.apop = self.plain = self.pam = 0
        return counts


def secrets(mechanism: str, count: int) -> list[bytes]:
    chance = random.Random(1939)
    if mechanism == "APOP":
        return [b"%032x" % chance.getrandbits(128) for _ in range(count)]
    return [chance.randbytes(chance.choice((1, 8, 40, 80, 600))) for _ in range(count)]


@pytest.mark.parametrize("mechanism", ["USER", "PLAIN", "APOP"])
@pytest.mark.parametrize("text", ["fred:{CRYPT}%s\njoe:%s\nann:!\n", "fred:{PLAIN}secret\n"])
def test_an_unknown_user_costs_and_gets_what_a_wrong_password_does(
    users: MakeFile, monkeypatch: pytest.MonkeyPatch, mechanism: str, text: str
) -> None:
    one = verifier(settings(users(text.replace("%s", QUICK_CRYPT))))
    counts = Counts(monkeypatch)
    work = []
    for secret in secrets(mechanism, 40):
        for user in (b"fred", b"nobody", b"joe", b"root"):
            outcome = one.verify(credentials(user, secret, mechanism=mechanism))
            assert refusal(outcome) == WRONG
            work.append(counts.taken())
    assert len(set(work)) == 1
    assert sum(work[0]) == 1


@pytest.mark.parametrize("mechanism", ["USER", "APOP"])
def test_with_several_files_it_is_still_once(
    users: MakeFile, monkeypatch: pytest.MonkeyPatch, mechanism: str
) -> None:
    line = f"{QUICK_CRYPT}\n"
    one = verifier(settings(users(""), users("fred:" + line), users("joe:" + line)))
    counts = Counts(monkeypatch)
    work = set()
    for secret in secrets(mechanism, 10):
        for user in (b"fred", b"joe", b"nobody"):
            assert refusal(one.verify(credentials(user, secret, mechanism=mechanism))) == WRONG
            work.add(counts.taken())
    assert len(work) == 1


def test_whom_pam_does_not_know_costs_one_question(
    users: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = Counts(monkeypatch)
    one = verifier(settings(users(f"fred:{QUICK_CRYPT}\n"), pam(), users="system", path="/m"))
    for user in (b"nobody", b"no-such-user-here", b"root"):
        assert refusal(one.verify(credentials(user, b"secret"))) == WRONG
        assert counts.taken() == (0, 0, 0, 1)


def test_apop_with_pam_alone_is_refused_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counts(monkeypatch)
    one = verifier(settings(pam(), users="system", path="/m"))
    for user in (b"nobody", b"no-such-user-here", b"root"):
        outcome = one.verify(credentials(user, APOP, mechanism="APOP"))
        assert refusal(outcome) == WRONG
    assert counts.taken() == (0, 0, 0, 0)


# -- memory, time, secrets ------------------------------------------------------------------


def test_a_password_is_forgotten_when_its_time_is_over(
    users: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    one = verifier(settings(users(f"fred:{QUICK_CRYPT}\n"), cache=300.0), clock=clock)
    counts = Counts(monkeypatch)
    for passed, crypts in ((0, 1), (299, 0), (2, 1)):
        clock.now += passed
        assert isinstance(one.verify(credentials(b"fred", b"x")), Account)
        assert counts.taken()[0] == crypts


def test_a_cache_of_zero_seconds_is_off(users: MakeFile, monkeypatch: pytest.MonkeyPatch) -> None:
    one = verifier(settings(users(f"fred:{QUICK_CRYPT}\n"), cache=0.0))
    counts = Counts(monkeypatch)
    for _ in range(3):
        one.verify(credentials(b"fred", b"x"))
    assert counts.taken()[0] == 3


def test_no_secret_shows_in_reprs_reports_or_details(users: MakeFile) -> None:
    reports: list[str] = []
    text = "fred:{PLAIN}Tr0ub4dor\njoe:Tr0ub4dor\nann:{SHA}Tr0ub4dor\njim:{CRYPT}Tr0ub4dor\n"
    one = verifier(settings(users(text)), reports)
    shown = [*reports, repr(one)]
    for secret in (b"Tr0ub4dor", b"wrong Tr0ub4dor"):
        for user in (b"fred", b"joe", b"nobody"):
            one_try = credentials(user, secret)
            shown += [repr(one_try), str(one_try), repr(one.verify(one_try))]
    assert len(reports) == 3
    assert not [line for line in shown if "Tr0ub4dor" in line]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"path": "mail/{user}"}, "maildrop.path"),
        ({"mail_user": "no-such-user-here"}, "service.mail_user"),
    ],
)
def test_what_cannot_work_stops_the_start(
    users: MakeFile, changes: dict[str, str], key: str
) -> None:
    with pytest.raises(SetupError) as error:
        verifier(settings(users(""), **changes))
    assert str(error.value).startswith(key)


def test_a_source_of_another_issue_stops_the_start() -> None:
    with pytest.raises(SetupError, match=r"^authentication\.sources\.type: \"ldap\""):
        verifier(settings(SimpleNamespace(type="ldap", service="", path="")))
