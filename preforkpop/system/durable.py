"""Files that are replaced as a whole: the old content or the new, never a part.

Run by whoever keeps state: workers as the mailbox's user, the master. Without ``sync`` a crash of
the process leaves the old file or the new one; with it a power cut does too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

_BUFFER = 262144
_RANDOM = 8  # octets, in hexadecimal digits in the temporary name


def replace_file(path: str, parts: Iterable[bytes], *, sync: bool) -> os.stat_result:
    """Put a file of mode 0600 with these octets in the place of ``path``; its status.

    The name that it is written under cannot be foreseen, is never followed and is removed when
    anything fails.
    """
    temporary = f"{path}.{os.urandom(_RANDOM).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(temporary, flags, 0o600), "wb", buffering=_BUFFER) as file:
        try:
            file.writelines(parts)
            file.flush()
            if sync:
                os.fsync(file.fileno())
            os.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        status = os.fstat(file.fileno())
    if sync:
        sync_directory(os.path.dirname(path) or ".")
    return status


def remove_leftovers(path: str) -> None:
    """Remove what a process that was killed in ``replace_file`` of this path has left.

    Only for who keeps all others from replacing it meanwhile, by a lock.
    """
    directory, name = os.path.split(path)
    for entry in os.listdir(directory or "."):
        if entry.startswith(f"{name}.") and len(entry) == len(name) + 1 + 2 * _RANDOM:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, entry))


def sync_directory(path: str) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
