"""The socket pairs between the pools, made by the master before it forks.

Each pair has a sending and a receiving end; a pool shares its end, so an idle process of the next
stage blocks in its receive and the kernel picks one. The master keeps all ends, to hand them to
processes that it forks later; it never uses them, except to ask an idle worker to leave.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from preforkpop.system.sockets import pair


@dataclass(frozen=True, slots=True)
class Pipe:
    """One direction between two pools."""

    send: socket.socket
    receive: socket.socket

    @classmethod
    def make(cls) -> Pipe:
        """A new pair whose receiver cannot speak and whose sender cannot listen."""
        send, receive = pair()
        send.shutdown(socket.SHUT_RD)
        return cls(send, receive)

    def close(self, *kept: socket.socket) -> None:
        """Close both ends, or what is not kept of them."""
        for end in (self.send, self.receive):
            if end not in kept:
                end.close()


@dataclass(frozen=True, slots=True)
class Wiring:
    """What connects one generation of login, auth and worker processes."""

    admitted: Pipe  # listener -> login
    attempts: Pipe  # login -> auth
    grants: Pipe  # auth -> worker
    verdicts: tuple[Pipe, ...]  # auth -> login, one for each login process

    @classmethod
    def make(cls, logins: int, admitted: Pipe | None = None) -> Wiring:
        """Pairs for so many login processes; ``admitted`` when there is a way to them already."""
        verdicts = tuple(Pipe.make() for _ in range(logins))
        return cls(admitted or Pipe.make(), Pipe.make(), Pipe.make(), verdicts)

    def close(self, *kept: socket.socket) -> None:
        """Close all ends in this process, or all but these: the others see the end of their input
        when no other process has an end that speaks to them.
        """
        for pipe in (self.admitted, self.attempts, self.grants, *self.verdicts):
            pipe.close(*kept)
