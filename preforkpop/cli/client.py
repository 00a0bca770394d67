"""Asks the running server something over its control socket.

Run by whoever calls a command; the socket lets in the account that runs the server, and root.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Final

from preforkpop.cli.command import CommandError
from preforkpop.config import reader

TIMEOUT: Final = 60.0
"""Seconds for an answer; a reload checks certificates and starts processes."""


def ask(config: str | None, command: str, **words: object) -> dict[str, Any]:
    """Send a request to the server of this configuration; CommandError when it says no."""
    path = f"{reader.run_dir(config)}/control"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT)
        try:
            sock.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            raise CommandError(f"{path}: no server is running") from None
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from None
        sock.sendall(json.dumps({"command": command, **words}).encode() + b"\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    if not answer:
        raise CommandError(f"{path}: the server did not answer")
    found: dict[str, Any] = json.loads(answer)
    if "error" in found:
        raise CommandError(found["error"])
    return found
