"""Making what stands in a passwd-file of a password. Pure, but for random salts.

Run by ``preforkpop passwd``, as whoever calls it. What is made is read back and compared before it
is given out.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from typing import Final

from preforkpop.auth import libcrypt, schemes
from preforkpop.auth.schemes import SchemeError

DEFAULT: Final = "ARGON2ID"

# What a guess costs an attacker, a login costs the server: 20 to 200 ms of one core each.
_ARGON2_PASSES, _ARGON2_KIBIBYTES = 3, 65536  # RFC 9106 section 4, second choice
_ARGON2_LANES = 1  # more would be threads of the auth process; Dovecot's default too
_BCRYPT_COST = 12
_YESCRYPT_COST = "j9T"  # N = 4096, r = 32: libxcrypt's default, and Debian's for /etc/shadow
_SHA512_ROUNDS = 100_000  # the 5,000 that crypt(3) takes by itself are from 2007

_CAPITALS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SMALL: Final = _CAPITALS.lower()
_CRYPT_LETTERS: Final = "./0123456789" + _CAPITALS + _SMALL
_BCRYPT_LETTERS: Final = "./" + _CAPITALS + _SMALL + "0123456789"

Random = Callable[[int], bytes]


def make(scheme: str, password: bytes, random: Random = secrets.token_bytes) -> str:
    """Return ``{SCHEME}value`` of a password; SchemeError when the scheme cannot hold it."""
    if not password:
        raise SchemeError("the password is empty")
    try:
        text = _MAKE[scheme](password, random)
    except libcrypt.MissingError as error:
        raise SchemeError(str(error)) from None
    stored = schemes.parse(text.encode())
    if stored is None or not schemes.matches(stored, password):
        raise SchemeError(f"the password is longer than {scheme} can tell from others")
    return text


def _argon2id(password: bytes, random: Random) -> str:
    from argon2 import low_level

    value = low_level.hash_secret(
        password,
        random(16),
        time_cost=_ARGON2_PASSES,
        memory_cost=_ARGON2_KIBIBYTES,
        parallelism=_ARGON2_LANES,
        hash_len=32,
        type=low_level.Type.ID,
    )
    return "{ARGON2ID}" + value.decode()


def _bcrypt(password: bytes, random: Random) -> str:
    # 128 bits in 22 letters: the last one holds two of them, at its top
    salt = _salt(random, 21, _BCRYPT_LETTERS) + _BCRYPT_LETTERS[random(1)[0] // 64 * 16]
    return _crypt("BCRYPT", f"$2b${_BCRYPT_COST}${salt}", password)


def _yescrypt(password: bytes, random: Random) -> str:
    # likewise, at its bottom
    salt = _salt(random, 21, _CRYPT_LETTERS) + _CRYPT_LETTERS[random(1)[0] % 4]
    return _crypt("YESCRYPT", f"$y${_YESCRYPT_COST}${salt}", password)


def _sha512_crypt(password: bytes, random: Random) -> str:
    salt = _salt(random, 16, _CRYPT_LETTERS)
    return _crypt("SHA512-CRYPT", f"$6$rounds={_SHA512_ROUNDS}${salt}", password)


def _salt(random: Random, count: int, letters: str) -> str:
    return "".join(letters[octet % 64] for octet in random(count))


def _crypt(scheme: str, setting: str, password: bytes) -> str:
    if b"\0" in password or len(password) > libcrypt.MAXIMUM_PHRASE:
        raise SchemeError(
            f"{scheme} takes passwords of up to {libcrypt.MAXIMUM_PHRASE} octets without NUL"
        )
    return f"{{{scheme}}}{libcrypt.crypt(password, setting.encode()).decode()}"


def _plain(password: bytes, _random: Random) -> str:
    """In the clear, as APOP needs it; encoded when it would not survive as a field of a line."""
    text = password.decode("ascii", "replace")
    if text.isprintable() and text.isascii() and ":" not in text and text == text.strip():
        return "{PLAIN}" + text
    return "{PLAIN.B64}" + base64.b64encode(password).decode()


_MAKE: Final[dict[str, Callable[[bytes, Random], str]]] = {
    "ARGON2ID": _argon2id,
    "BCRYPT": _bcrypt,
    "YESCRYPT": _yescrypt,
    "SHA512-CRYPT": _sha512_crypt,
    "PLAIN": _plain,
}

SCHEMES: Final = tuple(_MAKE)
