"""crypt(3) through ctypes: whatever the machine's libcrypt knows, yescrypt and bcrypt included.

Run by the auth process, which has no threads. The buffer in which libcrypt works is ours and is
wiped after each use.
"""

from __future__ import annotations

import ctypes
from typing import Final

MAXIMUM_PHRASE: Final = 511
"""Octets of a password; libxcrypt takes no more (CRYPT_MAX_PASSPHRASE_SIZE with its NUL)."""

_BUFFER_OCTETS: Final = 256 * 1024  # struct crypt_data: 32 KiB in libxcrypt, 128 KiB in old glibc

_UNUSABLE: Final = (1, 2)  # CRYPT_SALT_INVALID, CRYPT_SALT_METHOD_DISABLED of crypt_checksalt(3)


class MissingError(Exception):
    """The machine has no libcrypt."""


class _Library:
    def __init__(self) -> None:
        for name in ("libcrypt.so.1", "libcrypt.so.2"):
            try:
                library = ctypes.CDLL(name)
                break
            except OSError:
                continue
        else:
            raise MissingError("this machine has no libcrypt (libcrypt.so.1 or .so.2)")
        self._crypt_r = library.crypt_r
        self._crypt_r.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
        self._crypt_r.restype = ctypes.c_char_p
        # libxcrypt has a check of its own; without it the first login finds out
        self._check = getattr(library, "crypt_checksalt", None)
        self._buffer = ctypes.create_string_buffer(_BUFFER_OCTETS)

    def supports(self, setting: bytes) -> bool:
        return self._check is None or self._check(setting) not in _UNUSABLE

    def crypt(self, phrase: bytes, setting: bytes) -> bytes:
        try:
            result: bytes | None = self._crypt_r(phrase, setting, self._buffer)
        finally:
            ctypes.memset(self._buffer, 0, _BUFFER_OCTETS)
        return result or b""


_library: _Library | None = None


def _load() -> _Library:
    global _library
    if _library is None:
        _library = _Library()
    return _library


def supports(setting: bytes) -> bool:
    """Whether the library can compute such a hash; MissingError when there is no library."""
    return _load().supports(setting)


def crypt(phrase: bytes, setting: bytes) -> bytes:
    """Hash a password of at most MAXIMUM_PHRASE octets without NUL as ``setting`` says.

    Gives b"" or a token that begins with ``*`` for a setting that is broken or not supported.
    """
    return _load().crypt(phrase, setting)
