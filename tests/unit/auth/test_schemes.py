"""Password schemes, against hashes that other programs made."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.auth import libcrypt, schemes
from preforkpop.auth.schemes import SchemeError, Stored
from tests.unit.auth.helpers import STAMP

PASSWORD = "pass word:é".encode()

VECTORS = {
    # doveadm pw -s SCHEME -p 'pass word:é', Dovecot 2.3.19
    "PLAIN": "{PLAIN}pass word:é",
    "PLAIN.B64": "{PLAIN.B64}cGFzcyB3b3JkOsOp",
    "SHA": "{SHA}rc7YdzOUBx8rVgC9m8cAK7FkgFw=",
    "SHA.HEX": "{SHA.HEX}adced8773394071f2b5600bd9bc7002bb164805c",
    "SHA in hexadecimal": "{SHA}adced8773394071f2b5600bd9bc7002bb164805c",
    "SSHA": "{SSHA}shHK51tqYRDjkLqb67Lm6bKkeAUiNZiG",
    "SSHA.HEX": "{SSHA.HEX}a74d464d8135d174793d533f447734d6104f851197c81190",
    "SHA256": "{SHA256}G7cdZOLUrz8nOrX/gVPgHwGY1kwZIjb+0CD4gocLXk4=",
    "SSHA256": "{SSHA256}us90tH47Cl+pO5NJvjgCLzdqLDEMxcbxRg1Sqd6cp2oz+dl8",
    "SHA512": "{SHA512}y86Q8s2O6tmup7+beBi1svtZ0+FD/E557DSn4zghsbypvTYSKzco"
    "CgLoctr7c07tqxljC/1BPYzQgCzFcU+xfg==",
    "SSHA512": "{SSHA512}3g7a0ifRtkqua0akFs/e///X8wVoKiYdGURhu1/2G/KSm5WrGNt"
    "CBukj1ksRGdTayGAUwv3CabEIKupHE2Vphu8ESRk=",
    "SHA512-CRYPT": "{SHA512-CRYPT}$6$3HnkMpUTawmNvVoE$y4MQcFyKG/EOW1fx0eSRQ.U1I7"
    "PZoh1FQ0.PgDTH77/0lAp0bhiaQdsWbA2S9PzsQBopP/6q0vDZRWNrH9yMA/",
    "SHA512-CRYPT with rounds": "{SHA512-CRYPT}$6$rounds=1000$Njh1uRn0t8Gtagiv$DsjNWD53ci8j/w"
    "hX6SAiHGnInBx2by/uDQ3NCUO7sTCNirFqt0n3NWoSXRQc9atgaQ3aoht95lMA.XMAMSWeQ.",
    "SHA256-CRYPT": "{SHA256-CRYPT}$5$c/J67zJ8WS5vGPeX$LkJvhupyQ990i89hdd3H6YwHERPsjRA48biKThw/1M6",
    "MD5-CRYPT": "{MD5-CRYPT}$1$PymcWg0S$RTkI0736/KAZeMoYnbSO.1",
    "DES-CRYPT": "{DES-CRYPT}bWU7pzdOg/mYI",
    "DES without a scheme": "bWU7pzdOg/mYI",
    "BLF-CRYPT": "{BLF-CRYPT}$2y$05$0IlwawHD.dY7jb0j0H2Yg.zHT2UhmGVTy3o6DbeFGsz1XUoeToGwO",
    "BCRYPT": "{BCRYPT}$2y$04$K21Tj/xxhUawFbo0upOcGOK6mr5XnDjAgCA2puXPvb5Q/6Doj2emS",
    "CRYPT of bcrypt": "{CRYPT}$2y$05$xHCaVamJebVpby2MMDVh8eX020Cq27eHmHDelNFO0JKGec.lNpQgK",
    "ARGON2ID": "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$598lbsS2otEk2x5HHPxcew"
    "$RtAxFNoROzWDtbYnNyWHyTd5ZWd11FZniwRjoNwJfQM",
    # openssl passwd -6 -salt abcdefgh -stdin, OpenSSL 3.0
    "no scheme": "$6$abcdefgh$K.4TYNHDDIL/8pNuQ.7QrCeQw4S7ViVmnR./vaYO21.fMz5P"
    "9XnwmPvQl2igj7VWAVu7dYtYZ.rA7ZzDrcGlz1",
    # chpasswd of Debian 12 into /etc/shadow
    "yescrypt": "{CRYPT}$y$j9T$W1G2dXezbLwMR4dk46h0V1$sR48CKWPrf7PYUgLhzeBzyFA0h0AEDuCH5U2Gx1WV97",
    "yescrypt by its name": "{YESCRYPT}$y$j9T$W1G2dXezbLwMR4dk46h0V1"
    "$sR48CKWPrf7PYUgLhzeBzyFA0h0AEDuCH5U2Gx1WV97",
    "in small letters": "{ssha.b64}lm7Ok698PdQ2HASdgo8rkB4A24I+NsJm",
}


def stored(text: str) -> Stored:
    found = schemes.parse(text.encode())
    assert found is not None
    return found


@pytest.mark.parametrize("text", VECTORS.values(), ids=VECTORS)
def test_the_password_matches_and_others_do_not(text: str) -> None:
    one = stored(text)
    assert schemes.matches(one, PASSWORD)
    assert not schemes.matches(one, b"Pass word")
    assert not schemes.matches(one, b"")
    assert not schemes.matches(one, b"pass w\0rd")


@pytest.mark.parametrize("text", VECTORS.values(), ids=VECTORS)
def test_no_repr_shows_what_is_stored(text: str) -> None:
    one = stored(text)
    assert one.value.decode("latin-1") not in repr(one)
    assert repr(one) == f"Stored(scheme='{one.scheme}')"


@pytest.mark.parametrize(
    "text", [text for name, text in VECTORS.items() if "DES" not in name and "PLAIN" not in name]
)
def test_a_nul_does_not_end_the_password(text: str) -> None:
    assert not schemes.matches(stored(text), PASSWORD + b"\0")
    assert not schemes.matches(stored(text), PASSWORD + b"\0junk")


def test_des_refuses_a_nul_too() -> None:
    assert not schemes.matches(stored(VECTORS["DES-CRYPT"]), PASSWORD + b"\0")


def test_bcrypt_does_not_take_a_password_for_its_first_72_octets() -> None:
    long = b"a" * 72
    one = Stored("CRYPT", libcrypt.crypt(long, b"$2y$04$K21Tj/xxhUawFbo0upOcGO"))
    assert schemes.matches(one, long)
    assert not schemes.matches(one, long + b"b")


def test_passwords_longer_than_libcrypt_takes_are_refused() -> None:
    one = stored(VECTORS["no scheme"])
    assert not schemes.matches(one, b"a" * 511)
    assert not schemes.matches(one, b"a" * 512)
    assert not schemes.matches(one, b"a" * 9000)


def test_a_refused_password_costs_what_a_wrong_one_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    real = libcrypt.crypt
    monkeypatch.setattr(
        libcrypt, "crypt", lambda phrase, setting: asked.append(setting) or real(phrase, setting)
    )
    one = stored(VECTORS["BCRYPT"])
    for secret in (b"wrong", b"wr\0ng", b"a" * 73, b"a" * 600):
        schemes.matches(one, secret)
    assert asked == [one.value] * 4


@given(st.binary(min_size=1), st.binary(min_size=1))
def test_plain_is_equal_octets(first: bytes, second: bytes) -> None:
    one = stored("{PLAIN.B64}" + base64.b64encode(first).decode())
    assert schemes.matches(one, first)
    assert schemes.matches(one, second) == (first == second)


@given(st.binary(min_size=1), st.binary(min_size=1, max_size=30))
def test_ssha_takes_a_salt_of_any_length(secret: bytes, salt: bytes) -> None:
    digest = hashlib.sha1(secret + salt).digest() + salt
    one = stored("{SSHA}" + base64.b64encode(digest).decode())
    assert schemes.matches(one, secret)
    assert not schemes.matches(one, secret + b"x")


@pytest.mark.parametrize("text", ["*", "!", "!!", "*LK*", "!$6$abcdefgh$abc", "x"])
def test_locked_passwords_are_nobodys(text: str) -> None:
    assert schemes.parse(text.encode()) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("{PLAIN}", "empty"),
        ("{PLAIN.B64}", "empty"),
        ("{PLAIN.ROT13}grkg", "encoding"),
        ("secret", "no {SCHEME}"),
        ("{PLAIN", "not closed"),
        ("{MD4}abc", "unknown password scheme; known are ARGON2ID, BCRYPT"),
        ("{SHA}!!!", "not valid B64"),
        ("{SHA}c2hvcnQ=", "has 5 octets; 20"),
        ("{SSHA}rc7YdzOUBx8rVgC9m8cAK7FkgFw=", "and a salt"),
        ("{SHA.HEX}zz", "not valid HEX"),
        ("{SHA512-CRYPT}$6$abcdefgh$tooshort", "complete hash"),
        ("{SHA512-CRYPT}$5$abcdefgh$x", "does not begin with $6$"),
        ("{BCRYPT}$6$abcdefgh$x", "does not begin with $2y$"),
        ("{CRYPT}secret", "complete hash"),
        ("$zz$abc$def", "does not know"),
        ("$y$j9T$W1G2dXezbLwMR4dk46h0V1$short", "complete hash"),
        ("{ARGON2ID}$argon2id$v=19$m=65536", "complete hash of argon2id"),
    ],
)
def test_what_cannot_be_used_says_why_and_does_not_show_itself(text: str, problem: str) -> None:
    with pytest.raises(SchemeError) as error:
        schemes.parse(text.encode())
    assert problem in str(error.value)
    hidden = text.rpartition("}")[2]
    assert len(hidden) < 5 or hidden not in str(error.value)


@pytest.mark.parametrize(
    ("name", "cost", "expensive"),
    [
        ("PLAIN", "PLAIN", False),
        ("SSHA512", "SHA512", False),
        ("SHA512-CRYPT", "$6$", True),
        ("SHA512-CRYPT with rounds", "$6$rounds=1000$", True),
        ("BLF-CRYPT", "$2y$05$", True),
        ("yescrypt", "$y$j9T$", True),
        ("DES-CRYPT", "DES", True),
        ("ARGON2ID", "$argon2id$v=19$m=65536,t=3,p=1", True),
    ],
)
def test_the_cost_names_scheme_and_parameters(name: str, cost: str, expensive: bool) -> None:
    assert stored(VECTORS[name]).cost == cost
    assert stored(VECTORS[name]).expensive is expensive


def test_a_hash_that_cannot_be_computed_is_not_a_wrong_password() -> None:
    # argon2 wants 8 kibibytes at least
    small = b"$argon2id$v=19$m=1,t=3,p=1$598lbsS2otEk2x5HHPxcew$RtAxFNoROzWDtbYnNyWHyTd5ZWd1"
    with pytest.raises(SchemeError, match="argon2 failed"):
        schemes.matches(Stored("ARGON2ID", small + b"1FZniwRjoNwJfQM"), b"secret")
    with pytest.raises(SchemeError, match="libcrypt"):
        schemes.matches(Stored("CRYPT", b"$zz$abc$def"), b"secret")


def test_apop_is_the_digest_of_rfc_1939() -> None:
    digest = b"c4c9334bac560ecc979e58001b3e22fb"
    one = stored("{PLAIN}tanstaaf")
    assert schemes.apop_matches(one, STAMP, digest)
    assert not schemes.apop_matches(one, STAMP, digest.upper())
    assert not schemes.apop_matches(one, STAMP + b"x", digest)
    assert not schemes.apop_matches(one, STAMP, digest[:-1])


def test_apop_without_a_secret_never_matches() -> None:
    digest = hashlib.md5(STAMP).hexdigest().encode()
    assert not schemes.apop_matches(None, STAMP, digest)
