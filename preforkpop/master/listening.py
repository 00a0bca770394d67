"""The listening sockets, which stay open over everything but the end of the master.

Run by the master (root when started as root, as ports below 1024 need it).
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from preforkpop.master.settings import Listener
from preforkpop.system.sockets import listen


class Sockets:
    """Listening sockets by address."""

    def __init__(self) -> None:
        self._by_address: dict[str, list[socket.socket]] = {}

    def open(self, listeners: Sequence[Listener]) -> None:
        """Listen on every address that is new; AddressError, and then nothing has changed."""
        new: dict[str, list[socket.socket]] = {}
        try:
            for listener in listeners:
                if listener.address not in self._by_address and listener.address not in new:
                    new[listener.address] = listen(listener.address)
        except Exception:
            for sockets in new.values():
                _close(sockets)
            raise
        self._by_address.update(new)

    def keep(self, listeners: Sequence[Listener]) -> None:
        """Stop listening on every other address."""
        wanted = {listener.address for listener in listeners}
        for address in [one for one in self._by_address if one not in wanted]:
            _close(self._by_address.pop(address))

    def numbered(self, listeners: Sequence[Listener]) -> list[tuple[int, socket.socket]]:
        """Each socket with the index of the configured listener that it is for."""
        return [
            (index, sock)
            for index, listener in enumerate(listeners)
            for sock in self._by_address[listener.address]
        ]

    def close(self) -> None:
        """Stop listening."""
        for sockets in self._by_address.values():
            _close(sockets)
        self._by_address.clear()


def _close(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
