"""What the master tells the listener: a new configuration, and where admitted clients go now. Pure.

    Orders     master -> listener   login's queue, listening sockets   trusted

Packed by the master, read by the listener over a channel of their own. The sending end of the login
processes' queue comes first among the descriptors, then the listening sockets.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from preforkpop.ipc.channel import MessageError
from preforkpop.listener.settings import Admission


@dataclass(frozen=True, slots=True)
class Orders:
    """A configuration that replaces the one before."""

    admission: Admission
    listeners: tuple[int, ...]  # for each listening socket the index of its configuration

    def pack(self) -> bytes:
        """The message as octets."""
        return json.dumps(
            {"admission": asdict(self.admission), "listeners": self.listeners}
        ).encode()

    @classmethod
    def unpack(cls, message: bytes) -> Orders:
        """The message from octets; MessageError when it is none."""
        try:
            found = json.loads(message)
            admission: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in found["admission"].items()
            }
            return cls(Admission(**admission), tuple(found["listeners"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MessageError("orders that cannot be read") from error
