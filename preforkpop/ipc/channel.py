"""Messages with descriptors over SOCK_SEQPACKET socket pairs.

Used by every process of the pipeline. A message is one packet: whole or not at all, never cut.
A wrong number of descriptors, or a truncated packet, is a MessageError; all that came with it is
closed, so nothing leaks into a process that did not expect it.
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Sequence
from typing import TypeAlias

MAXIMUM_MESSAGE = 65536  # octets
Descriptors: TypeAlias = "array.array[int]"
_CONTROL = socket.CMSG_SPACE(4 * 4)
_FLAGS = socket.MSG_CMSG_CLOEXEC
_BAD = socket.MSG_TRUNC | socket.MSG_CTRUNC


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
        0 if wait else socket.MSG_DONTWAIT,
    )


def receive(
    sock: socket.socket, expected: int, *, wait: bool = True, bare: bytes = b""
) -> tuple[bytes, Descriptors] | None:
    """Take one message with ``expected`` descriptors; None when no sender is left.

    The message ``bare``, if one is named, comes without descriptors.

    The descriptors are not inheritable (``recv_fds`` of CPython 3.11 would lose that flag).
    Raises BlockingIOError when there is none and ``wait`` is false, MessageError as above.
    """
    payload, ancillary, flags, _address = sock.recvmsg(
        MAXIMUM_MESSAGE, _CONTROL, _FLAGS if wait else _FLAGS | socket.MSG_DONTWAIT
    )
    if not payload and not ancillary:
        return None
    descriptors: Descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if bare and payload == bare and not descriptors:
        return payload, descriptors
    if flags & _BAD or len(descriptors) != expected:
        close_all(descriptors)
        raise MessageError(f"{len(descriptors)} descriptors instead of {expected}")
    return payload, descriptors


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors that nobody will use."""
    for descriptor in descriptors:
        os.close(descriptor)
