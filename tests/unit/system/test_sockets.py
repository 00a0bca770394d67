"""Listening sockets, socket pairs and peer addresses."""

from __future__ import annotations

import errno
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.system import sockets
from preforkpop.system.sockets import (
    AddressError,
    adopt,
    is_socket,
    listen,
    pair,
    peer_text,
    set_timeouts,
    split_address,
)


def free_port(family: socket.AddressFamily = socket.AF_INET6) -> int:
    with socket.create_server(("", 0), family=family) as sock:
        return int(sock.getsockname()[1])


class TestAddresses:
    @pytest.mark.parametrize(
        ("address", "host", "port"),
        [
            ("127.0.0.1:110", "127.0.0.1", 110),
            ("[::1]:995", "::1", 995),
            ("[::]:110", "::", 110),
            (":110", "", 110),
            ("pop.example.org:65535", "pop.example.org", 65535),
        ],
    )
    def test_parts(self, address: str, host: str, port: int) -> None:
        assert split_address(address) == (host, port)

    @pytest.mark.parametrize(
        "address",
        ["", "110", "host", "host:", "host:0", "host:65536", "host:-1", "host:+1", "host:1 1",
         "::1:110", "host:１１０", "[::1]", "host:11\n"],
    )  # fmt: skip
    def test_what_is_none(self, address: str) -> None:
        with pytest.raises(AddressError) as caught:
            split_address(address)
        assert f'"{address}"' in str(caught.value)

    @given(st.text(max_size=20))
    def test_any_text_is_an_address_or_an_error(self, text: str) -> None:
        try:
            host, port = split_address(text)
        except AddressError:
            return
        assert 0 < port < 65536
        assert host in text


class TestListening:
    def test_options_are_inherited_by_connections(self) -> None:
        [listening] = listen(f"127.0.0.1:{free_port(socket.AF_INET)}")
        with listening, socket.create_connection(listening.getsockname()):
            listening.setblocking(True)
            connection, _address = listening.accept()
            with connection:
                for option, value in (
                    (socket.TCP_NODELAY, 1),
                    (socket.TCP_USER_TIMEOUT, sockets.USER_TIMEOUT),
                    (socket.TCP_KEEPIDLE, sockets.KEEPALIVE_IDLE),
                    (socket.TCP_KEEPINTVL, sockets.KEEPALIVE_INTERVAL),
                    (socket.TCP_KEEPCNT, sockets.KEEPALIVE_COUNT),
                ):
                    assert connection.getsockopt(socket.IPPROTO_TCP, option) == value
                assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def test_it_does_not_block_and_is_not_inherited(self) -> None:
        [listening] = listen(f"127.0.0.1:{free_port(socket.AF_INET)}")
        with listening, pytest.raises(BlockingIOError):
            assert not os.get_inheritable(listening.fileno())
            listening.accept()

    @pytest.mark.parametrize("address", ["[::]:{}", ":{}"])
    def test_every_address_is_ipv4_too(self, address: str) -> None:
        port = free_port()
        [listening] = listen(address.format(port))
        with listening:
            for host in ("127.0.0.1", "::1"):
                socket.create_connection((host, port)).close()

    def test_one_ipv6_address_is_that_alone(self) -> None:
        port = free_port()
        [listening] = listen(f"[::1]:{port}")
        with listening, pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))

    def test_a_port_that_is_taken_is_an_error(self) -> None:
        port = free_port()
        for address in (f"[::]:{port}", f"127.0.0.1:{port}"):
            [listening] = listen(address)
            with listening, pytest.raises(AddressError, match="Address already in use"):
                listen(address)

    def test_a_port_that_is_taken_on_ipv6_is_not_served_on_ipv4_alone(self) -> None:
        with socket.create_server(("::", 0), family=socket.AF_INET6) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(AddressError, match="Address already in use"):
                listen(f"[::]:{port}")

    def test_a_host_that_is_not_known(self) -> None:
        with pytest.raises(AddressError, match=r"no-such-host\.invalid:110"):
            listen("no-such-host.invalid:110")

    def test_an_address_of_another_machine(self) -> None:
        with pytest.raises(AddressError, match="Cannot assign requested address"):
            listen("192.0.2.1:1110")

    def test_a_machine_without_ipv6(self, monkeypatch: pytest.MonkeyPatch) -> None:
        listen_on = sockets._listen_on

        def without(family: int, *rest: object) -> socket.socket:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            return listen_on(family, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(sockets, "_listen_on", without)
        port = free_port(socket.AF_INET)
        [listening] = listen(f"[::]:{port}")
        with listening:
            assert listening.getsockname() == ("0.0.0.0", port)
        with pytest.raises(AddressError, match="not supported"):
            listen(f"[::1]:{port}")

    def test_a_name_with_an_address_that_is_missing_here(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = free_port(socket.AF_INET)
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: found)
        [listening] = listen(f"pop.example.org:{port}")
        with listening:
            assert listening.getsockname() == ("127.0.0.1", port)

    def test_an_error_leaves_no_socket_open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ports = free_port(socket.AF_INET), free_port(socket.AF_INET)
        [taken] = listen(f"127.0.0.1:{ports[1]}")
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: found)
        with taken, pytest.raises(AddressError):
            listen("pop.example.org:110")
        with socket.create_server(("127.0.0.1", ports[0])):
            pass  # not held by the one that was opened first

    @pytest.mark.root
    def test_a_low_port_says_who_may(self) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                os.setresuid(40001, 40001, 40001)
                with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
                    if int(file.read()) < 110:
                        os._exit(0)
                with pytest.raises(AddressError, match="ports below 1024 are for root"):
                    listen("127.0.0.1:109")
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0


class TestPairs:
    @pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM])
    def test_both_ends_wait_and_are_not_inherited(self, kind: int) -> None:
        ends = pair(kind)
        for end in ends:
            assert os.get_blocking(end.fileno())
            assert not os.get_inheritable(end.fileno())
            end.close()

    def test_a_socket_of_any_family_can_be_adopted(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.create_connection(listening.getsockname())
            connection, _address = listening.accept()
        with client, adopt(connection.detach()) as adopted:
            adopted.sendall(b"+OK\r\n")
            assert client.recv(100) == b"+OK\r\n"
            client.close()
            assert adopted.recv(100) == b""

    def test_time_limits_are_the_kernels(self) -> None:
        one, other = pair(socket.SOCK_STREAM)
        with one, other:
            set_timeouts(one, 0.01, 0.01)
            with pytest.raises(BlockingIOError):
                one.recv(1)
            with pytest.raises(BlockingIOError):
                while True:
                    one.send(bytes(65536))
            set_timeouts(other, 600, 600)
            assert other.recv(10) == bytes(10)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("192.0.2.7", 4711), "192.0.2.7"),
        (("2001:db8::1", 4711, 0, 0), "2001:db8::1"),
        (("::ffff:192.0.2.7", 4711, 0, 0), "192.0.2.7"),
        (("::ffff:0:1", 4711, 0, 0), "::ffff:0:1"),
        (("fe80::1%eth0", 4711, 0, 2), "fe80::1%eth0"),
        ("", ""),
        (b"", ""),
        ((), ""),
        (None, ""),
    ],
)
def test_an_address_as_text(address: object, text: str) -> None:
    assert peer_text(address) == text


def test_what_is_a_socket() -> None:
    one, other = pair()
    with one, other:
        assert is_socket(one.fileno())
    reader, writer = os.pipe()
    assert not is_socket(reader)
    os.close(reader)
    os.close(writer)
