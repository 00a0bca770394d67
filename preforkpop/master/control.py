"""The control socket: how the administrator's commands reach the master.

Run by the master (root when started as root). A Unix stream socket, mode 0600, in ``run_dir``: one
request a connection, a JSON object on one line, answered by one JSON object. Only the account that
runs the master, and root, can connect; what they send is bounded all the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

MAXIMUM_REQUEST = 4096  # octets
MAXIMUM_CONNECTIONS = 16

Answer: TypeAlias = Mapping[str, Any]
Handler: TypeAlias = Callable[[Mapping[str, Any]], Answer]


class Control:
    """The listening socket and the connections that have not been answered yet."""

    def __init__(self, path: str, handlers: Mapping[str, Handler]) -> None:
        self.path = path
        self._handlers = handlers
        self._connections: dict[int, tuple[socket.socket, bytes]] = {}
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # the pid file's lock says that nobody serves it
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        umask = os.umask(0o177)
        try:
            self._listening.bind(path)
        finally:
            os.umask(umask)
        self._listening.listen(MAXIMUM_CONNECTIONS)

    def register(self, poller: select.poll) -> None:
        """Watch what is to be read."""
        poller.register(self._listening, select.POLLIN)
        for connection, _data in self._connections.values():
            poller.register(connection, select.POLLIN)

    def ready(self, descriptor: int) -> bool:
        """Go on where something came; whether the descriptor is one of these."""
        if descriptor == self._listening.fileno():
            self._accept()
        elif descriptor in self._connections:
            self._read(descriptor)
        else:
            return False
        return True

    def close(self) -> None:
        """Take no more requests."""
        for connection, _data in self._connections.values():
            connection.close()
        self._connections.clear()
        self._listening.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _accept(self) -> None:
        try:
            connection, _address = self._listening.accept()
        except OSError:
            return
        connection.setblocking(False)
        if len(self._connections) == MAXIMUM_CONNECTIONS:  # the one that has been silent longest
            self._connections.pop(next(iter(self._connections)))[0].close()
        self._connections[connection.fileno()] = (connection, b"")

    def _read(self, descriptor: int) -> None:
        connection, data = self._connections.pop(descriptor)
        try:
            more = connection.recv(MAXIMUM_REQUEST)
        except OSError:
            more = b""
        data += more
        if more and b"\n" not in data and len(data) < MAXIMUM_REQUEST:
            self._connections[descriptor] = (connection, data)
            return
        self._answer(connection, data)

    def _answer(self, connection: socket.socket, data: bytes) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(1.0)  # for an answer of any size; only the administrator is here
            connection.sendall(json.dumps(self._result(data)).encode() + b"\n")

    def _result(self, data: bytes) -> Answer:
        try:
            request = json.loads(data)
            handler = self._handlers[request["command"]]
        except (ValueError, KeyError, TypeError):
            known = ", ".join(self._handlers)
            return {"error": f"not a request: one of {known} is expected"}
        return handler(request)
