"""The line in front of each message of an mbox: "From SENDER DATE", the From_ line.

Pure; run by a worker as the mailbox's user. The rule is Qpopper's, which is the c-client library's:
the line begins ``From ``, the line before it is exactly empty (or there is none: the first line of
the file), and it ends in a date, in one of these forms, each perhaps followed by
`` remote from HOST``:

    Wed Dec  2 05:53:22 1992          Wed Dec  2 05:53 1992
    Wed Dec  2 05:53:22 GMT 1992      Wed Dec  2 05:53:22 1992 GMT
    Wed Dec  2 05:53:22 +0100 1992    Wed Dec  2 05:53:22 1992 +0100

The test looks at blanks and colons at their distance from the end of the line and at nothing else:
names of days and months differ between systems, senders hold blanks. A CR in front of the LF is
part of the line, which then does not end in a date.

**Over-long lines.** Qpopper read lines into 1,023 octets, and a line that did not fit was handled
as several: a mail with a line of just that length began a new message behind it (CVE-2000-0320).
Here a line goes from LF to LF, however long it is, so no part of a line is ever looked at as a line
and an over-long line is no "empty" one. A From_ line itself must fit: no delivery agent writes a
longer one (a sender has at most 320 octets), Qpopper took none, and a bound is what lets the scan
decide within one block of the file.
"""

from __future__ import annotations

import re
from typing import Final

MAXIMUM_LINE: Final = 1023
"""Octets of a From_ line with its LF."""

FROM: Final = b"From "
_REMOTE_FROM: Final = b" remote from"
_MINIMUM: Final = 27
_MINIMUM_REMOTE: Final = 41

_plain_date: Final = re.compile(rb" .{3} .{3} .. .{2}:.{2}:.{2} .{4}", re.DOTALL).match
_PLAIN: Final = 25


def is_separator(line: bytes) -> bool:
    """Whether a line, given without its LF, is a From_ line; the line before it is not judged."""
    if not line.startswith(FROM) or len(line) >= MAXIMUM_LINE:
        return False
    if _plain_date(line, len(line) - _PLAIN) and len(line) >= _MINIMUM:
        return True  # what all delivery agents write
    if len(line) >= _MINIMUM_REMOTE:
        host = line.rfind(b" ")
        if line.endswith(_REMOTE_FROM, 0, host):
            line = line[: host - len(_REMOTE_FROM)]
    return len(line) >= _MINIMUM and _ends_in_date(line)


def _ends_in_date(line: bytes) -> bool:
    """Judge octets by their distance from the end; ``end`` is where the time of day ends."""
    blank, colon = 0x20, 0x3A
    signs = b"+-"
    if line[-5] == blank:  # the year is last
        if line[-8] == colon:
            end = -5
        elif line[-9] == blank:
            end = -9
        elif line[-11] == blank and line[-10] in signs:
            end = -11
        else:
            return False
    elif line[-4] == blank and line[-9] == blank:
        end = -9
    elif line[-6] == blank and line[-11] == blank and line[-5] in signs:
        end = -11
    else:
        return False
    if line[end - 3] != colon:
        return False
    day = end - (9 if line[end - 6] == colon else 6)
    if len(line) < 11 - day:
        return False
    return line[day] == line[day - 3] == line[day - 7] == line[day - 11] == blank
