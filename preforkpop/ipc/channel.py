"""Messages with descriptors over SOCK_SEQPACKET socket pairs.

Used by every process of the pipeline. A message is one packet: whole or not at all, never cut.
A wrong number of descriptors, or a truncated packet, is a MessageError; all that came with it is
closed, so nothing leaks into a process that did not expect it.
"""

from __future__ import annotations

import array
import os
import select
import socket
from collections.abc import Sequence
from typing import Final, TypeAlias

MAXIMUM_MESSAGE: Final = 65536  # octets
MAXIMUM_DESCRIPTORS: Final = 253  # SCM_MAX_FD (unix(7))
Descriptors: TypeAlias = "array.array[int]"

_SIZE: Final = array.array("i").itemsize
_FEW: Final = socket.CMSG_SPACE(4 * _SIZE)
_MANY: Final = socket.CMSG_SPACE(MAXIMUM_DESCRIPTORS * _SIZE)
_SEND: Final = int(socket.MSG_NOSIGNAL)
_RECEIVE: Final = int(socket.MSG_CMSG_CLOEXEC)
_NO_WAIT: Final = int(socket.MSG_DONTWAIT)
_LOST: Final = int(socket.MSG_CTRUNC)
_CUT: Final = int(socket.MSG_TRUNC)


class MessageError(Exception):
    """A message that is not what the page of messages says: the session it carries ends."""


def send(
    sock: socket.socket, payload: bytes, descriptors: Sequence[int] = (), *, wait: bool = True
) -> None:
    """Send one message. With ``wait=False`` a full queue is a BlockingIOError."""
    sock.sendmsg(
        (payload,),
        ((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors)),)
        if descriptors
        else (),
        _SEND if wait else _SEND | _NO_WAIT,
    )


def receive(
    sock: socket.socket, expected: int, *, wait: bool = True, bare: bytes = b""
) -> tuple[bytes, Descriptors] | None:
    """Take one message with ``expected`` descriptors; None when no sender is left.

    The message ``bare``, if one is named, comes without descriptors. The descriptors are not
    inheritable (``recv_fds`` of CPython 3.11 would lose that flag). Raises BlockingIOError when
    there is no message and ``wait`` is false, MessageError as above.
    """
    got = _receive(sock, _FEW, wait)
    if got is None or (bare and got[0] == bare and not got[1]):
        return got
    descriptors = got[1]
    if len(descriptors) != expected:
        close_all(descriptors)
        raise MessageError(f"a message with {len(descriptors)} descriptors instead of {expected}")
    return got


def receive_any(sock: socket.socket, *, wait: bool = True) -> tuple[bytes, Descriptors] | None:
    """Take one message with as many descriptors as it says itself; otherwise as ``receive``."""
    return _receive(sock, _MANY, wait)


def _receive(sock: socket.socket, room: int, wait: bool) -> tuple[bytes, Descriptors] | None:
    payload, ancillary, flags, _address = sock.recvmsg(
        MAXIMUM_MESSAGE, room, _RECEIVE if wait else _RECEIVE | _NO_WAIT
    )
    descriptors: Descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % _SIZE])
    if flags & _LOST:
        close_all(descriptors)
        raise MessageError(
            "a message that lost descriptors: too many, or the limit of open files is reached"
        )
    if flags & _CUT:
        close_all(descriptors)
        raise MessageError(f"a message of more than {MAXIMUM_MESSAGE} octets")
    if payload or descriptors:
        return payload, descriptors
    if ended(sock):
        return None
    raise MessageError("an empty message")


def ended(sock: socket.socket) -> bool:
    """Whether no sender is left.

    An empty packet reads like the end, and a sender that went mad must not be able to send the
    receivers of a pool home with it.
    """
    poller = select.poll()
    poller.register(sock, select.POLLRDHUP)
    return bool(poller.poll(0))


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors that nobody will use."""
    for descriptor in descriptors:
        os.close(descriptor)
