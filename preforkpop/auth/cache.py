"""Passwords that were right a short while ago, remembered as keyed digests.

Run by the auth process; its memory never holds a password for this. Only successes are kept: a
failure must cost the full work each time. The digest covers everything that decided (service,
source, full user name, mechanism, secret and what the source adds, such as the stored hash): a key
without the user's name let users of another server log in as each other (CVE-2007-6598). An entry
of a passwd-file that changes has another digest: what was remembered for the old one is dead.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

MAXIMUM_ENTRIES: Final = 16384  # about 3 MB
_DIGEST_OCTETS: Final = 16


class Cache:
    """Digest -> the name that was verified, until a time. ``key``: this process's random octets."""

    __slots__ = ("_entries", "_key", "_maximum", "_seconds")

    def __init__(self, key: bytes, seconds: float, maximum: int = MAXIMUM_ENTRIES) -> None:
        if not 16 <= len(key) <= blake2b.MAX_KEY_SIZE:
            raise ValueError("the key of the cache needs 16 to 64 random octets")
        self._key = key
        self._seconds = seconds
        self._maximum = maximum
        self._entries: dict[bytes, tuple[float, str]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def digest(self, *parts: bytes) -> bytes:
        """Digest what decided; lengths keep one part from running into the next."""
        framed = b"".join([b"%d:%b" % (len(part), part) for part in parts])
        return blake2b(framed, digest_size=_DIGEST_OCTETS, key=self._key).digest()

    def find(self, digest: bytes, now: float) -> str | None:
        """Return the verified name, or None; ``now`` in monotonic seconds."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        if entry[0] <= now:
            del self._entries[digest]
            return None
        return entry[1]

    def remember(self, digest: bytes, name: str, now: float) -> None:
        """Keep a success; when the cache is full the oldest goes."""
        if self._seconds <= 0:
            return
        self._entries.pop(digest, None)
        if len(self._entries) >= self._maximum:
            del self._entries[next(iter(self._entries))]
        self._entries[digest] = (now + self._seconds, name)
