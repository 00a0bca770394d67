"""Lines of a passwd-file."""

from __future__ import annotations

import os
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.auth.backends.passwd_line import Entry, Fault, LineError, allowed, parse_line


def test_all_fields() -> None:
    entry = parse_line(b"fred:{PLAIN}secret:1001:1002:Fred F.:/home/fred:/bin/sh:userdb_quota=1G")
    assert (entry.name, entry.uid, entry.gid, entry.home) == ("fred", 1001, 1002, "/home/fred")
    assert entry.password is not None
    assert entry.password.value == b"secret"
    assert not entry.nologin
    assert entry.networks is None


def test_name_and_password_are_enough() -> None:
    assert parse_line(b"joe@example.org:{PLAIN}s") == parse_line(b"joe@example.org:{PLAIN}s::::::")


def test_names_are_utf8_and_homes_are_octets() -> None:
    entry = parse_line("jörg:{PLAIN}s::::/home/".encode() + b"\xff")
    assert entry.name == "jörg"
    assert os.fsencode(entry.home) == b"/home/\xff"


def test_ids_may_be_names() -> None:
    entry = parse_line(b"fred:{PLAIN}s:mail:mail")
    assert entry.uid == pwd.getpwnam("mail").pw_uid
    assert entry.gid == pwd.getpwnam("mail").pw_gid


def test_extra_fields_may_contain_colons() -> None:
    entry = parse_line(b"fred:{PLAIN}s::::::allow_nets=2001:db8::/32,192.0.2.0/24 nodelay=y")
    assert allowed(entry, "2001:db8::7")
    assert allowed(entry, "192.0.2.7")
    assert allowed(entry, "::ffff:192.0.2.7")
    assert not allowed(entry, "198.51.100.1")
    assert not allowed(entry, "2001:db9::7")
    assert not allowed(entry, "")


def test_without_networks_everywhere_is_allowed() -> None:
    assert allowed(parse_line(b"fred:{PLAIN}s"), "")


def test_empty_networks_allow_nothing() -> None:
    assert not allowed(parse_line(b"fred:{PLAIN}s::::::allow_nets="), "192.0.2.7")


@pytest.mark.parametrize("extra", [b"nologin", b"nologin=y", b"userdb_x=1 nologin=y reason=moved"])
def test_nologin_is_read(extra: bytes) -> None:
    assert parse_line(b"fred:{PLAIN}s::::::" + extra).nologin


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"fred", "no password"),
        (b"fred:", "empty"),
        (b":{PLAIN}s", "user name"),
        (b"\xff:{PLAIN}s", "UTF-8"),
        (b"a/b:{PLAIN}s", "slash"),
        (b"..:{PLAIN}s", "user name"),
        (b"fred\x01:{PLAIN}s", "control"),
        (b"fred:secret", "no {SCHEME}"),
        (b"fred:{PLAIN}s:1001", "one of uid and gid"),
        (b"fred:{PLAIN}s::1001", "one of uid and gid"),
        (b"fred:{PLAIN}s:nobody-has-this:1", "neither a number nor the name of an account"),
        (b"fred:{PLAIN}s:1:nobody-has-this", "neither a number nor the name of a group"),
        (b"fred:{PLAIN}s:-1:-1", "neither"),
        (b"fred:{PLAIN}s:4294967295:1", "too large"),
        (b"fred:{PLAIN}s:1:99999999999999", "too large"),
        (b"fred:{PLAIN}s::::home", "absolute"),
        (b"fred:{PLAIN}s::::::nopassword=y", "extra field"),
        (b"fred:{PLAIN}s::::::allow_nets=nowhere", "allow_nets"),
    ],
)
def test_faults_say_what_is_wrong(line: bytes, problem: str) -> None:
    with pytest.raises(LineError) as error:
        parse_line(line)
    assert problem in str(error.value)


def test_a_fault_begins_with_file_and_line() -> None:
    assert str(Fault("/etc/users", 3, "has no password")) == "/etc/users:3: has no password"
    assert str(Fault("/etc/users", 0, "is not a file")) == "/etc/users: is not a file"


def test_no_repr_shows_the_password() -> None:
    assert "secret" not in repr(parse_line(b"fred:{PLAIN}secret"))


@given(st.binary(max_size=200))
def test_any_octets_are_a_line_or_a_fault(octets: bytes) -> None:
    try:
        assert isinstance(parse_line(octets), Entry)
    except LineError as error:
        assert str(error)
