"""The control socket."""

from __future__ import annotations

import json
import os
import select
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from preforkpop.master.control import MAXIMUM_CONNECTIONS, Control


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    made = Control(str(tmp_path / "control"), {"echo": lambda request: {"got": request["word"]}})
    yield made
    made.close()


def turn(control: Control) -> None:
    """One pass of the master's loop."""
    poller = select.poll()
    control.register(poller)
    for descriptor, _events in poller.poll(1000):
        control.ready(descriptor)


def ask(control: Control, octets: bytes) -> dict[str, str]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(control.path)
        client.sendall(octets)
        turn(control)
        turn(control)
        return dict(json.loads(client.recv(65536)))


def test_a_request_is_answered(control: Control) -> None:
    assert ask(control, b'{"command": "echo", "word": "x"}\n') == {"got": "x"}


@pytest.mark.parametrize(
    "octets", [b"\n", b"nonsense\n", b"[]\n", b'{"command": "other"}\n', b"\xff\n", b"x" * 5000]
)
def test_what_is_no_request_is_told_what_is_expected(control: Control, octets: bytes) -> None:
    assert "echo" in ask(control, octets)["error"]


def test_a_request_may_come_in_pieces(control: Control) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(control.path)
        turn(control)
        for piece in (b'{"command": "echo",', b' "word": "x"}', b"\n"):
            client.sendall(piece)
            turn(control)
        assert json.loads(client.recv(65536)) == {"got": "x"}


def test_only_the_owner_can_connect(control: Control) -> None:
    assert stat.S_IMODE(os.stat(control.path).st_mode) == 0o600


def test_silent_connections_give_way_to_new_ones(control: Control) -> None:
    clients = [socket.socket(socket.AF_UNIX) for _ in range(2 * MAXIMUM_CONNECTIONS)]
    try:
        for client in clients:
            client.connect(control.path)
            turn(control)
        assert ask(control, b'{"command": "echo", "word": "x"}\n') == {"got": "x"}
        clients[0].settimeout(10)
        assert clients[0].recv(1) == b""
    finally:
        for client in clients:
            client.close()


def test_a_socket_that_a_crash_left_behind_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "control")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    Control(path, {}).close()
    assert not os.path.exists(path)
