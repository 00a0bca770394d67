"""Where TLS records end in what a client sends (RFC 8446 section 5.1). Pure.

Run by login processes. OpenSSL says that it has nothing more to give by failing, which is slow; who
counts the records that came need not ask.
"""

from __future__ import annotations

from typing import Final

_HEADER: Final = 5  # octets: type, version, length
_MAXIMUM: Final = 16384 + 2048  # octets of a body, by TLS 1.2; 1.3 allows less


class Records:
    """Counts the records of one direction of a connection."""

    __slots__ = ("_header", "_missing")

    def __init__(self) -> None:
        self._header = b""  # octets of one that is not complete
        self._missing = 0  # octets that the record under way is still to have

    def ends(self, octets: bytes) -> int:
        """How many records end with or within these octets, which follow those before.

        A record that is longer than any may be ends with its header: that is all OpenSSL needs to
        refuse it.
        """
        if self._header:
            octets = self._header + octets
            self._header = b""
        found = 0 if self._missing else -1
        end, size = self._missing, len(octets)
        while end <= size:
            found += 1
            if end + _HEADER > size:
                self._header, self._missing = octets[end:], 0
                return found
            length = octets[end + 3] << 8 | octets[end + 4]
            end += _HEADER + (length if length <= _MAXIMUM else 0)
        self._missing = end - size
        return found
