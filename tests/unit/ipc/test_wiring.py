"""The socket pairs between the pools."""

from __future__ import annotations

import pytest

from preforkpop.ipc.wiring import Pipe, Wiring


def test_a_pipe_has_one_direction() -> None:
    pipe = Pipe.make()
    pipe.send.send(b"forward")
    assert pipe.receive.recv(16) == b"forward"
    with pytest.raises(BrokenPipeError):
        pipe.receive.send(b"back")
    pipe.close()


def test_the_receiver_sees_that_no_sender_is_left() -> None:
    pipe = Pipe.make()
    pipe.send.send(b"last")
    pipe.send.close()
    assert pipe.receive.recv(16) == b"last"
    assert pipe.receive.recv(16) == b""
    pipe.close()


def test_each_login_process_has_verdicts_of_its_own() -> None:
    wiring = Wiring.make(3)
    assert len(wiring.verdicts) == 3
    wiring.close()
    assert wiring.admitted.send.fileno() == -1


def test_a_queue_can_outlive_its_generation() -> None:
    old = Wiring.make(1)
    new = Wiring.make(1, old.admitted)
    old.admitted.send.send(b"a client")
    old.close(old.admitted.send, old.admitted.receive)
    assert new.admitted.receive.recv(64) == b"a client"
    assert old.grants.receive.fileno() == -1
    new.close()
    assert old.admitted.receive.fileno() == -1
