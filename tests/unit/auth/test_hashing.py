"""What is made of a password is what the auth process takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.auth import hashing, libcrypt, schemes
from preforkpop.auth.backends import passwd_file
from preforkpop.auth.schemes import SchemeError

PASSWORD = "pass word:é".encode()


@pytest.mark.parametrize("scheme", hashing.SCHEMES)
def test_the_hash_is_of_that_password_alone(scheme: str) -> None:
    text = hashing.make(scheme, PASSWORD)
    assert text.startswith((f"{{{scheme}}}", "{PLAIN.B64}"))
    entries, faults = passwd_file.parse_octets("users", f"fred:{text}:1000:1000\n".encode())
    assert not faults
    stored = entries["fred"].password
    assert stored is not None
    assert schemes.matches(stored, PASSWORD)
    assert not schemes.matches(stored, b"Pass word")


@pytest.mark.parametrize("scheme", [one for one in hashing.SCHEMES if one != "PLAIN"])
def test_no_two_hashes_of_a_password_are_the_same(scheme: str) -> None:
    assert hashing.make(scheme, b"x") != hashing.make(scheme, b"x")


@pytest.mark.parametrize("octet", [b"\x00", b"\x7f", b"\xc0", b"\xff"])
@pytest.mark.parametrize("scheme", ["BCRYPT", "YESCRYPT", "SHA512-CRYPT"])
def test_every_salt_is_one_that_crypt_keeps_as_it_is(
    scheme: str, octet: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: list[bytes] = []
    crypt = libcrypt.crypt

    def noted(phrase: bytes, setting: bytes) -> bytes:
        settings.append(setting)
        return crypt(phrase, setting)

    monkeypatch.setattr(libcrypt, "crypt", noted)
    text = hashing.make(scheme, b"x", lambda count: octet * count)
    assert settings[0].decode() in text


@pytest.mark.parametrize("scheme", hashing.SCHEMES)
def test_an_empty_password_is_refused(scheme: str) -> None:
    with pytest.raises(SchemeError, match="empty"):
        hashing.make(scheme, b"")


def test_a_password_of_which_a_part_would_be_enough_is_refused() -> None:
    with pytest.raises(SchemeError, match="longer than BCRYPT"):
        hashing.make("BCRYPT", b"x" * 73)
    for scheme in ("BCRYPT", "YESCRYPT", "SHA512-CRYPT"):
        for password in (b"a\0b", b"x" * 512):
            with pytest.raises(SchemeError, match="up to 511 octets without NUL"):
                hashing.make(scheme, password)


def test_a_machine_without_libcrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    def crypt(_phrase: bytes, _setting: bytes) -> bytes:
        raise libcrypt.MissingError("this machine has no libcrypt")

    monkeypatch.setattr(libcrypt, "crypt", crypt)
    with pytest.raises(SchemeError, match="no libcrypt"):
        hashing.make("YESCRYPT", b"x")


def test_a_password_in_the_clear_stays_readable_where_it_can() -> None:
    assert hashing.make("PLAIN", b"s3cret}{") == "{PLAIN}s3cret}{"


@given(st.binary(min_size=1, max_size=40))
def test_any_password_in_the_clear_survives_the_file(password: bytes) -> None:
    line = f"fred:{hashing.make('PLAIN', password)}:1000:1000::/home/fred\n"
    entries, faults = passwd_file.parse_octets("users", line.encode())
    assert not faults
    stored = entries["fred"].password
    assert stored is not None and stored.value == password
