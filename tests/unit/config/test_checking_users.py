"""Settings about users, passwords and maildrops that do not go together."""

from __future__ import annotations

import pytest

from tests.unit.config.helpers import CERTIFICATE, FRED, faults, warnings

USERS = '[[authentication.sources]]\ntype = "passwd-file"\npath = "/users"\n'
PAM = '[[authentication.sources]]\ntype = "pam"\n'


def authentication(*lines: str) -> str:
    return "[authentication]\n" + "".join(f"{line}\n" for line in lines)


# -- accounts -------------------------------------------------------------------------------


def test_virtual_mail_needs_an_owner_when_started_as_root() -> None:
    text = '[service]\nusers = "virtual"'
    (fault,) = faults(text)
    assert fault.startswith("c.toml:1: service.mail_user: has to name the account")
    assert faults(text + '\nmail_user = "vmail"') == []
    assert faults(text, FRED) == []


def test_an_account_that_is_not_used_is_a_warning() -> None:
    text = CERTIFICATE + '[service]\nmail_user = "vmail"'
    assert warnings(text) == [
        'c.toml:4: warning: service.mail_user: is not used when service.users is "system"'
    ]
    text = CERTIFICATE + '[service]\nusers = "virtual"\nmail_user = "v"\nmail_group = "mail"'
    (warning,) = warnings(text)
    assert warning.startswith("c.toml:6: warning: service.mail_group: is not used")
    assert warnings(text.replace('"mail"', '""')) == []


# -- somebody has to be able to log in ------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        ['mechanisms = ["APOP"]'],
        ['mechanisms = ["CRAM-MD5", "EXTERNAL"]'],
    ],
)
def test_mechanisms_with_which_nobody_can_log_in(lines: list[str]) -> None:
    (fault,) = faults(CERTIFICATE + authentication(*lines))
    assert fault.startswith("c.toml:4: authentication.mechanisms: has none with which anybody")


def test_apop_alone_with_a_file_that_has_secrets() -> None:
    assert faults(authentication('mechanisms = ["APOP"]') + USERS) == []


def test_passwords_never_and_nothing_else() -> None:
    (fault,) = faults(CERTIFICATE + authentication('clear_text_password = "never"'))
    assert 'c.toml:4: authentication.clear_text_password: "never" leaves APOP alone' in fault
    assert faults(authentication('clear_text_password = "never"') + USERS) == []


def test_passwords_under_tls_without_a_certificate_are_a_warning() -> None:
    (warning,) = warnings("")
    assert "authentication.clear_text_password" in warning
    assert "nobody can log in" in warning
    (warning,) = warnings(USERS)
    assert "only APOP is left" in warning
    assert warnings(CERTIFICATE) == []


@pytest.mark.parametrize("word", ["local", "always", "default"])
def test_passwords_without_tls_need_no_certificate(word: str) -> None:
    assert warnings(authentication(f'clear_text_password = "{word}"')) == []


def test_delays_that_contradict_each_other() -> None:
    (fault,) = faults(authentication("failure_delay = 20"))
    assert fault.startswith("c.toml:2: authentication.failure_delay: failure_delay is 20 and")
    (fault,) = faults(authentication("maximum_delay = 1"))
    assert fault.startswith("c.toml:2: authentication.maximum_delay: failure_delay is 2 and")


# -- sources --------------------------------------------------------------------------------


def test_a_passwd_file_needs_its_path() -> None:
    assert faults('[[authentication.sources]]\ntype = "passwd-file"') == [
        'c.toml:1: authentication.sources.path: is missing; a source of type "passwd-file" needs it'
    ]


def test_pam_needs_its_service() -> None:
    (fault,) = faults(PAM + 'service = ""')
    assert fault.startswith("c.toml:3: authentication.sources.service: is missing")
    (fault,) = faults(PAM + 'service = "../../tmp/x"')
    assert fault.startswith("c.toml:3: authentication.sources.service: is no name of a service")


def test_keys_of_another_type_of_source() -> None:
    assert faults(PAM + 'path = "/users"') == [
        'c.toml:3: authentication.sources.path: is for sources of type "passwd-file", and this is'
        ' "pam"'
    ]
    (fault,) = faults(USERS + 'service = "imap"')
    assert fault.startswith("c.toml:4: authentication.sources.service: is for sources of type")


def test_a_source_that_is_there_twice() -> None:
    assert faults(USERS + USERS) == [
        "c.toml:5: authentication.sources.type: is the same source as one before"
    ]
    assert faults(USERS + PAM + USERS.replace("/users", "/more")) == []


# -- maildrops ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/var/mail/{user}",
        "/var/mail/{hash2}/{user}",
        "/var/vmail/{domain}/{name}",
        "{home}/Maildir",
        "/srv{home}",
    ],
)
def test_paths_of_maildrops(path: str) -> None:
    assert faults(f'[maildrop]\npath = "{path}"') == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", '"" is not an absolute path'),
        ("mail/{user}", '"mail/{user}" is not an absolute path'),
        ("/var/mail/{usr}", "{usr} does not exist; there are {user}"),
        ("/var/mail/{}", "{} does not exist"),
        ("/var/mail/{user", "has a { or } without its counterpart"),
        ("/var/mail/{user}}", "has a { or } without its counterpart"),
        ("/var/mail/all", "is the same maildrop for all users"),
        ("/var/mail/{domain}/{hash1}", "is the same maildrop for all users"),
    ],
)
def test_paths_that_cannot_be_anybodys(path: str, problem: str) -> None:
    (fault,) = faults(f'[maildrop]\npath = "{path}"')
    assert fault.startswith(f"c.toml:2: maildrop.path: {problem}")


def test_virtual_users_of_pam_have_no_home() -> None:
    text = CERTIFICATE + '[service]\nusers = "virtual"\n[maildrop]\npath = "{home}/mail"\n'
    (fault,) = faults(text + PAM, FRED)
    assert fault.startswith("c.toml:6: maildrop.path: needs {home}, which PAM does not tell")
    assert faults(text + PAM + USERS, FRED) == []
    (warning,) = warnings(text + PAM + USERS, FRED)
    assert "only users in a passwd-file have" in warning
    assert warnings(text + USERS, FRED) == []
