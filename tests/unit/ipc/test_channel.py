"""Messages with descriptors over real socket pairs."""

from __future__ import annotations

import array
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preforkpop.ipc import channel
from preforkpop.ipc.channel import MAXIMUM_DESCRIPTORS, MAXIMUM_MESSAGE, MessageError
from preforkpop.system.sockets import pair

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A sender and a receiver."""
    sender, receiver = pair()
    with sender, receiver:
        yield sender, receiver


@contextmanager
def nothing_left_open(but: int = 0) -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before + but


def received(receiver: socket.socket, expected: int = 0) -> bytes:
    got = channel.receive(receiver, expected)
    assert got is not None
    channel.close_all(got[1])
    return got[0]


class TestMessages:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.binary(min_size=1, max_size=2000), max_size=5))
    def test_each_arrives_whole_and_by_itself(self, ends: Ends, payloads: list[bytes]) -> None:
        sender, receiver = ends
        for payload in payloads:
            channel.send(sender, payload)
        assert [received(receiver) for _ in payloads] == payloads

    def test_the_greatest(self, ends: Ends) -> None:
        channel.send(ends[0], b"x" * MAXIMUM_MESSAGE)
        assert received(ends[1]) == b"x" * MAXIMUM_MESSAGE

    def test_one_that_is_too_long_is_an_error_and_the_next_is_read(self, ends: Ends) -> None:
        with nothing_left_open():
            channel.send(ends[0], b"x" * (MAXIMUM_MESSAGE + 1), (0, 1))
            channel.send(ends[0], b"next")
            with pytest.raises(MessageError, match="more than"):
                channel.receive(ends[1], 2)
            assert received(ends[1]) == b"next"

    def test_none_yet(self, ends: Ends) -> None:
        with pytest.raises(BlockingIOError):
            channel.receive(ends[1], 0, wait=False)

    def test_a_full_queue(self, ends: Ends) -> None:
        with pytest.raises(BlockingIOError):
            while True:
                channel.send(ends[0], bytes(1000), wait=False)
        received(ends[1])

    def test_a_receiver_that_has_gone_is_an_error_and_no_signal(self, ends: Ends) -> None:
        ends[1].close()
        with pytest.raises(BrokenPipeError):
            channel.send(ends[0], b"x")


class TestEnd:
    def test_what_was_sent_comes_before_the_end(self, ends: Ends) -> None:
        channel.send(ends[0], b"last")
        ends[0].close()
        assert received(ends[1]) == b"last"
        assert channel.receive(ends[1], 0) is None
        assert channel.receive(ends[1], 2, wait=False) is None

    def test_it_comes_when_the_last_of_several_senders_has_gone(self, ends: Ends) -> None:
        other = ends[0].dup()
        ends[0].close()
        with pytest.raises(BlockingIOError):
            channel.receive(ends[1], 0, wait=False)
        other.close()
        assert channel.receive(ends[1], 0) is None

    def test_an_empty_packet_is_not_the_end(self, ends: Ends) -> None:
        ends[0].send(b"")
        with pytest.raises(MessageError, match="empty"):
            channel.receive(ends[1], 2)
        channel.send(ends[0], b"next")
        assert received(ends[1]) == b"next"

    def test_nor_is_it_where_the_sender_cannot_listen(self, ends: Ends) -> None:
        ends[0].shutdown(socket.SHUT_RD)
        ends[0].send(b"")
        with pytest.raises(MessageError, match="empty"):
            channel.receive(ends[1], 2)


class TestDescriptors:
    def test_they_arrive_open_and_are_not_inherited(self, ends: Ends) -> None:
        reader, writer = os.pipe()
        os.set_inheritable(writer, True)
        channel.send(ends[0], b"x", (writer,))
        os.close(writer)
        got = channel.receive(ends[1], 1)
        assert got is not None
        [descriptor] = got[1]
        assert not os.get_inheritable(descriptor)
        os.write(descriptor, b"hello")
        os.close(descriptor)
        assert os.read(reader, 100) == b"hello"
        assert os.read(reader, 100) == b""
        os.close(reader)

    @pytest.mark.parametrize("sent", [0, 1, 3, 4, 5, 20, MAXIMUM_DESCRIPTORS])
    def test_a_wrong_number_is_an_error_and_none_stays_open(self, ends: Ends, sent: int) -> None:
        with nothing_left_open():
            channel.send(ends[0], b"x", [0] * sent)
            with pytest.raises(MessageError):
                channel.receive(ends[1], 2)

    def test_a_message_whose_receiver_died_leaves_none_open(self) -> None:
        with nothing_left_open():
            sender, receiver = pair()
            reader, writer = os.pipe()
            channel.send(sender, b"x", (writer,))
            os.close(writer)
            receiver.close()
            assert os.read(reader, 1) == b""  # closed with the queue it was in
            os.close(reader)
            sender.close()

    def test_descriptors_without_a_message(self, ends: Ends) -> None:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1]))
        with nothing_left_open():
            ends[0].sendmsg((b"",), (rights,))
            got = channel.receive(ends[1], 2)
            assert got is not None
            assert got[0] == b""
            channel.close_all(got[1])

    def test_a_process_that_has_no_descriptors_left(self, ends: Ends) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        channel.send(ends[0], b"x", (0, 1))
        channel.send(ends[0], b"next")
        with nothing_left_open():
            lowest = os.dup(0)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
            try:
                with pytest.raises(MessageError, match="limit of open files"):
                    channel.receive(ends[1], 2)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert received(ends[1]) == b"next"

    def test_one_message_may_come_without(self, ends: Ends) -> None:
        channel.send(ends[0], b"retire")
        channel.send(ends[0], b"retire", (0,))
        channel.send(ends[0], b"other")
        got = channel.receive(ends[1], 2, bare=b"retire")
        assert got is not None
        assert (got[0], list(got[1])) == (b"retire", [])
        for _ in range(2):
            with nothing_left_open(), pytest.raises(MessageError):
                channel.receive(ends[1], 2, bare=b"retire")


class TestAnyNumber:
    @pytest.mark.parametrize("sent", [0, 1, 5, MAXIMUM_DESCRIPTORS])
    def test_as_many_as_the_message_says(self, ends: Ends, sent: int) -> None:
        with nothing_left_open():
            channel.send(ends[0], b"x", [0] * sent)
            got = channel.receive_any(ends[1])
            assert got is not None
            assert len(got[1]) == sent
            assert not any(map(os.get_inheritable, got[1]))
            channel.close_all(got[1])

    def test_the_end_and_none_yet(self, ends: Ends) -> None:
        with pytest.raises(BlockingIOError):
            channel.receive_any(ends[1], wait=False)
        ends[0].close()
        assert channel.receive_any(ends[1]) is None
