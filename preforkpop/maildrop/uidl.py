"""Unique-ids of messages (RFC 1939 section 7): 1 to 70 octets in 0x21-0x7E.

Run by a worker as the mailbox's user. What every store shares: which recorded ids are honoured and
what an id looks like that this server makes itself. Such an id never depends on headers that other
programs change (Status, X-Status, X-UIDL).
"""

from __future__ import annotations

import re
from typing import Final

MAXIMUM: Final = 70
_acceptable = re.compile(rb"[\x21-\x7e]{1,70}").fullmatch


def acceptable(value: bytes) -> bytes | None:
    """A recorded id as it is given to clients, or None when the protocol does not allow it.

    Blanks around it and a CR are not part of it.
    """
    trimmed = value.strip(b" \t\r\n")
    return trimmed if _acceptable(trimmed) else None


def from_digest(digest: bytes, ordinal: int) -> bytes:
    """The id of the message that is the ``ordinal``-th (from 0) with this digest.

    Copies of one message get ids of their own: a client that saw one id twice would take only one
    of them. At most 31 octets of digest leave room for any ordinal.
    """
    name = digest.hex().encode("ascii")
    return b"%b.%d" % (name, ordinal) if ordinal else name
