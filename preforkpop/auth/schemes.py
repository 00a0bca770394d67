"""Password schemes: what stands behind a name in a passwd-file, as Dovecot writes it.

Run by the auth process. ``{SCHEME}value``, ``{SCHEME.B64}value`` or ``{SCHEME.HEX}value``; a value
without a scheme is of crypt(3). Octets are octets: passwords may hold blanks, TABs, 8-bit octets
and, where the scheme can tell them apart, NULs. Comparisons take the same time wherever values
differ.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hmac import compare_digest
from types import ModuleType
from typing import Final

from preforkpop.auth import libcrypt


class SchemeError(Exception):
    """A stored password that cannot be used, or not now; the text never shows it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored password: with its scheme, ready to be compared."""

    scheme: str
    value: bytes = field(repr=False)  # password, digest, or the string of crypt or argon2
    salt: bytes = field(repr=False, default=b"")

    @property
    def expensive(self) -> bool:
        """Whether a comparison takes milliseconds, by design, and not microseconds."""
        return self.scheme in ("CRYPT", "ARGON2ID")

    @property
    def cost(self) -> str:
        """What a comparison costs, as a word: scheme and parameters, without salt or hash."""
        if self.scheme == "CRYPT":
            match = _CRYPT_COST.match(self.value)
            return match[0].decode() if match else "DES"
        if self.scheme == "ARGON2ID":
            return self.value.rsplit(b"$", 2)[0].decode()
        return self.scheme


def matches(stored: Stored, secret: bytes) -> bool:
    """Whether a password is the stored one. An empty one never is.

    SchemeError when that cannot be found out: the library does not know the hash, or has no memory.
    """
    return _MATCH[stored.scheme](stored, secret) and bool(secret)


def apop_matches(stored: Stored | None, stamp: bytes, digest: bytes) -> bool:
    """Whether ``digest`` is APOP's (RFC 1939 section 7); never with None, which costs the same."""
    secret = b"" if stored is None else stored.value
    right = hashlib.md5(stamp + secret, usedforsecurity=False).hexdigest().encode()
    return compare_digest(right, digest) and bool(secret)


def parse(text: bytes) -> Stored | None:
    """Read the password field of a passwd-file; None for one that is locked (``*``, ``!``, ``x``).

    SchemeError says what is wrong with it.
    """
    if not text.startswith(b"{"):
        return _without_scheme(text)
    scheme, brace, value = text[1:].partition(b"}")
    if not brace:
        raise SchemeError("the password's {SCHEME} is not closed")
    name, _, encoding = scheme.decode("ascii", "replace").upper().partition(".")
    read = _READ.get(name)
    if read is None:
        raise SchemeError("unknown password scheme; known are " + ", ".join(sorted(_READ)))
    if not value:
        raise SchemeError("the password is empty")
    return read(_decoded(value, encoding) if encoding else value, not encoding)


def _without_scheme(text: bytes) -> Stored | None:
    if not text:
        raise SchemeError("the password is empty; * bars a user")
    if text[:1] in b"*!" or text == b"x":
        return None
    if text.startswith(b"$") or _DES.fullmatch(text):
        return _read_crypt(text, True)
    raise SchemeError("the password has no {SCHEME}")


# -- encodings ------------------------------------------------------------------------------


def _decoded(value: bytes, encoding: str) -> bytes:
    try:
        if encoding in ("B64", "BASE64"):
            return binascii.a2b_base64(value, strict_mode=True)
        if encoding == "HEX":
            return binascii.a2b_hex(value)
    except binascii.Error:
        raise SchemeError(f"the password is not valid {encoding}") from None
    raise SchemeError("unknown encoding of a password; known are B64, BASE64, HEX")


# -- in the clear ---------------------------------------------------------------------------


def _read_plain(value: bytes, _encoded: bool) -> Stored:
    if not value:
        raise SchemeError("the password is empty")
    return Stored("PLAIN", value)


def _match_plain(stored: Stored, secret: bytes) -> bool:
    # Digests have one length; compare_digest of the passwords themselves would tell their lengths.
    return compare_digest(
        hashlib.sha1(secret, usedforsecurity=False).digest(),
        hashlib.sha1(stored.value, usedforsecurity=False).digest(),
    )


# -- one round of SHA, with and without salt ------------------------------------------------

_SHA: Final = {
    "SHA": (hashlib.sha1, 20),
    "SHA256": (hashlib.sha256, 32),
    "SHA512": (hashlib.sha512, 64),
}


def _read_sha(name: str, salted: bool) -> Callable[[bytes, bool], Stored]:
    size = _SHA[name][1]

    def read(value: bytes, encoded: bool) -> Stored:
        if encoded:  # Dovecot's rule: hexadecimal when its length says so
            value = _decoded(value, "HEX" if not salted and len(value) == 2 * size else "B64")
        if len(value) < size or (len(value) == size) == salted:
            raise SchemeError(
                f"the password's hash has {len(value)} octets; {size} are expected"
                + (" and a salt" if salted else "")
            )
        return Stored(name, value[:size], value[size:])

    return read


def _match_sha(stored: Stored, secret: bytes) -> bool:
    function = _SHA[stored.scheme][0]
    return compare_digest(function(secret + stored.salt).digest(), stored.value)


# -- crypt(3) -------------------------------------------------------------------------------

_DES: Final = re.compile(rb"[./0-9A-Za-z]{13}")
_CRYPT_COST: Final = re.compile(rb"\$(?:2[abxy]\$\d\d\$|y\$[^$]*\$|[56]\$(?:rounds=\d+\$)?|\w+\$)")
_CRYPT_SHAPES: Final = {
    b"1": re.compile(rb"\$1\$[^$]{0,8}\$[./0-9A-Za-z]{22}"),
    b"5": re.compile(rb"\$5\$(?:rounds=\d+\$)?[^$]{0,16}\$[./0-9A-Za-z]{43}"),
    b"6": re.compile(rb"\$6\$(?:rounds=\d+\$)?[^$]{0,16}\$[./0-9A-Za-z]{86}"),
    b"y": re.compile(rb"\$y\$[./0-9A-Za-z]+\$[./0-9A-Za-z]*\$[./0-9A-Za-z]{43}"),
    **dict.fromkeys(
        (b"2a", b"2b", b"2x", b"2y"), re.compile(rb"\$2[abxy]\$\d\d\$[./0-9A-Za-z]{53}")
    ),
}
_BCRYPT_OCTETS: Final = 72  # bcrypt hashes no more


def _read_crypt(value: bytes, _encoded: bool) -> Stored:
    if value.startswith(b"$"):
        shape = _CRYPT_SHAPES.get(value[1:].partition(b"$")[0])
        usable = shape.fullmatch(value) if shape else value.count(b"$") >= 3
    else:
        usable = _DES.fullmatch(value)
    if not usable or b"\0" in value:
        raise SchemeError("the password is not a complete hash of crypt(3)")
    try:
        supported = libcrypt.supports(value)
    except libcrypt.MissingError as error:
        raise SchemeError(str(error)) from None
    if not supported:
        raise SchemeError("this machine's libcrypt does not know the password's hash")
    return Stored("CRYPT", value)


def _read_crypt_of(*prefixes: bytes) -> Callable[[bytes, bool], Stored]:
    def read(value: bytes, encoded: bool) -> Stored:
        if not value.startswith(prefixes):
            raise SchemeError(f"the password's hash does not begin with {prefixes[0].decode()}")
        return _read_crypt(value, encoded)

    return read


def _match_crypt(stored: Stored, secret: bytes) -> bool:
    # libcrypt stops at a NUL, and bcrypt after 72 octets: such a password would be right as soon as
    # its beginning is. It is refused, after the same work.
    limit = _BCRYPT_OCTETS if stored.value.startswith(b"$2") else libcrypt.MAXIMUM_PHRASE
    whole = b"\0" not in secret and len(secret) <= limit
    result = libcrypt.crypt(secret if whole else b"-", stored.value)
    if not result or result.startswith(b"*"):
        raise SchemeError("libcrypt cannot compute a stored hash")
    return compare_digest(result, stored.value) and whole


# -- argon2 ---------------------------------------------------------------------------------

_ARGON2ID: Final = re.compile(
    rb"\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[+/0-9A-Za-z]{11,}\$[+/0-9A-Za-z]{16,}"
)


def _read_argon2id(value: bytes, _encoded: bool) -> Stored:
    if not _ARGON2ID.fullmatch(value):
        raise SchemeError("the password is not a complete hash of argon2id")
    _argon2()
    return Stored("ARGON2ID", value)


def _argon2() -> ModuleType:
    # Imported when a file needs it: 20 ms, which inetd's process for one connection can save.
    from argon2 import low_level

    return low_level


def _match_argon2id(stored: Stored, secret: bytes) -> bool:
    argon2 = _argon2()
    try:
        argon2.verify_secret(stored.value, secret, argon2.Type.ID)
    except argon2.VerifyMismatchError:
        return False
    except argon2.VerificationError as error:
        raise SchemeError(f"argon2 failed: {error}") from None
    return True


_MATCH: Final[dict[str, Callable[[Stored, bytes], bool]]] = {
    "PLAIN": _match_plain,
    "CRYPT": _match_crypt,
    "ARGON2ID": _match_argon2id,
    **dict.fromkeys(_SHA, _match_sha),
}

_READ: Final[dict[str, Callable[[bytes, bool], Stored]]] = {
    **dict.fromkeys(("PLAIN", "CLEAR", "CLEARTEXT"), _read_plain),
    **dict.fromkeys(("SHA", "SHA1"), _read_sha("SHA", False)),
    "SHA256": _read_sha("SHA256", False),
    "SHA512": _read_sha("SHA512", False),
    "SSHA": _read_sha("SHA", True),
    "SSHA256": _read_sha("SHA256", True),
    "SSHA512": _read_sha("SHA512", True),
    "CRYPT": _read_crypt,
    "DES-CRYPT": _read_crypt,
    "MD5-CRYPT": _read_crypt_of(b"$1$"),
    "SHA256-CRYPT": _read_crypt_of(b"$5$"),
    "SHA512-CRYPT": _read_crypt_of(b"$6$"),
    "YESCRYPT": _read_crypt_of(b"$y$"),
    **dict.fromkeys(("BCRYPT", "BLF-CRYPT"), _read_crypt_of(b"$2y$", b"$2a$", b"$2b$", b"$2x$")),
    "ARGON2ID": _read_argon2id,
}
