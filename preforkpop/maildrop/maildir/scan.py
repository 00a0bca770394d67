"""Reading a Maildir: which messages there are, and how long each is as transmitted.

Run by a worker as the mailbox's user when the index does not tell. What the index knew of a message
stays known while the file's name is the same, so this costs in proportion to what was delivered
since; listing the names is all that is done for the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, NamedTuple

from preforkpop.maildrop.maildir import names
from preforkpop.maildrop.maildir.folder import CUR, NEW, SUBDIRECTORIES, Folder, Stamps
from preforkpop.maildrop.maildir.index import Table
from preforkpop.system.log import escape

CHUNK: Final = 262144  # octets read at once; a message of one chunk is always counted
_TRIES: Final = 3  # when other programs move files while we look


class Listing(NamedTuple):
    """Message files in the order of delivery, and the state of the Maildir that they are from."""

    files: list[bytes]  # NEW or CUR, then the name
    stamps: Stamps
    steady: bool  # nothing was moved meanwhile
    others: list[bytes]  # what is not a file


class Measure(NamedTuple):
    """What is to be known of a message file."""

    size: int
    modified: int
    octets: int
    exact: int


def list_messages(folder: Folder) -> Listing:
    """List new/ and then cur/, again when files were moved meanwhile.

    In this order a file that moves from new/ to cur/ is seen twice rather than not at all.
    """
    for _ in range(_TRIES):
        stamps = folder.stamps()
        new, others_in_new = folder.names(NEW)
        cur, others_in_cur = folder.names(CUR)
        steady = folder.stamps() == stamps
        if steady:
            break
    files = _distinct(folder, [NEW + name for name in new] + [CUR + name for name in cur])
    files.sort(key=lambda file: names.order(file[1:]))
    others = [NEW + name for name in others_in_new] + [CUR + name for name in others_in_cur]
    return Listing(files, stamps, steady, others)


def _distinct(folder: Folder, files: list[bytes]) -> list[bytes]:
    """Leave out second sights of one file: a file that was moved, or that has two names."""
    by_name: dict[bytes, list[bytes]] = {}
    for file in files:
        by_name.setdefault(names.base(file[1:]), []).append(file)
    if len(by_name) == len(files):
        return files
    kept: list[bytes] = []
    for same in by_name.values():
        kept += same if len(same) == 1 else _existing(folder, same)
    return kept


def _existing(folder: Folder, files: list[bytes]) -> list[bytes]:
    found: dict[tuple[int, int], bytes] = {}
    for file in files:
        try:
            status = folder.status(file[:1], file[1:])
        except OSError:
            continue
        found[status.st_dev, status.st_ino] = file
    return list(found.values())


def build(
    folder: Folder,
    files: list[bytes],
    known: Table | None,
    tick: Callable[[], None],
    notes: list[str],
) -> Table:
    """Make the table of these files from what is known already and by reading the others."""
    rows = (
        {} if known is None else {names.base(name[1:]): row for row, name in enumerate(known.names)}
    )
    table = Table.empty()
    unreadable: list[bytes] = []
    for file in files:
        tick()
        row = rows.get(names.base(file[1:]))
        if known is not None and row is not None:
            table.add(
                file, known.sizes[row], known.modified[row], known.octets[row], known.exact[row]
            )
            continue
        measure = _measure(folder, file, unreadable)
        if measure is not None:
            table.add(file, *measure)
    if unreadable:
        notes.append(_note(folder, unreadable, "cannot be read; they are listed, but not sent"))
    return table


def note_others(folder: Folder, others: list[bytes]) -> str:
    """Say what is not counted as a message."""
    return _note(folder, others, "are not files; they are not messages")


def _note(folder: Folder, files: list[bytes], what: str) -> str:
    first = f"{SUBDIRECTORIES[files[0][:1]]}/{escape(files[0][1:])}"
    return f"{escape(folder.path, 512)}: {len(files)} entries such as {first} {what}"


def _measure(folder: Folder, file: bytes, unreadable: list[bytes]) -> Measure | None:
    """Measure a message; None when it has gone."""
    where, name = file[:1], file[1:]
    try:
        descriptor, status = folder.open(where, name)
    except (FileNotFoundError, IsADirectoryError):
        return None
    except OSError:
        unreadable.append(file)
        return _guess(folder, where, name)
    try:
        octets, exact = _stated_or_counted(descriptor, name, status.st_size)
    except OSError:
        unreadable.append(file)
        return _guess(folder, where, name)
    finally:
        os.close(descriptor)
    return Measure(status.st_size, status.st_mtime_ns, octets, exact)


def _guess(folder: Folder, where: bytes, name: bytes) -> Measure | None:
    """A message that cannot be read must not keep the others from being listed."""
    try:
        status = folder.status(where, name)
    except OSError:
        return None
    octets = names.stated_octets(name, status.st_size) or status.st_size
    return Measure(status.st_size, status.st_mtime_ns, octets, 0)


def _stated_or_counted(descriptor: int, name: bytes, size: int) -> tuple[int, int]:
    """Octets as transmitted, and whether they were counted.

    Where a message is larger than a chunk its name may state them. That is taken for the listing
    when the file looks like one with LF line ends and a last one, which is what such names are
    right about; before the message is sent it is counted.
    """
    if size > CHUNK:
        stated = names.stated_octets(name, size)
        if stated is not None:
            looks = os.pread(descriptor, 4096, 0) + os.pread(descriptor, 2, size - 2)
            if looks.endswith(b"\n") and b"\r\n" not in looks:
                return stated, 0
    return count(descriptor, size), 1


def count(descriptor: int, size: int) -> int:
    """Octets of a file as transmitted: every LF is two, a missing last one is added."""
    done = 0
    line_ends = 0
    piece = b"\n"
    while done < size:
        piece = os.pread(descriptor, min(CHUNK, size - done), done)
        if not piece:
            raise OSError(0, "is shorter than it was")
        done += len(piece)
        line_ends += piece.count(b"\n")
    return size + line_ends + (0 if piece.endswith(b"\n") else 2)
