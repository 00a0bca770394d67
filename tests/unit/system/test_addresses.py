"""What an address says about a client."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.system.addresses import is_loopback, network

LOCAL = ("127.0.0.1", "127.255.1.9", "::1", "::ffff:127.0.0.1", "::FFFF:127.0.0.1")
ELSEWHERE = (
    "192.0.2.7",
    "2001:db8::1",
    "::ffff:192.0.2.7",
    "::",
    "",
    "127.example.org",
    "::11",
    "1270.0.0.1",
    "127.0.0.1.example.org",
    "127.0.0.1\n",
    "١٢٧.0.0.1",
)


@pytest.mark.parametrize("peer", LOCAL)
def test_loopback_addresses_are_local(peer: str) -> None:
    assert is_loopback(peer)


@pytest.mark.parametrize("peer", ELSEWHERE)
def test_other_addresses_and_what_is_none_are_not_local(peer: str) -> None:
    assert not is_loopback(peer)


def test_an_ipv4_address_is_its_own_source() -> None:
    assert network("192.0.2.7") == "192.0.2.7"


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_counts_as_its_64(address: ipaddress.IPv6Address) -> None:
    expected = ipaddress.IPv6Network((address, 64), strict=False)
    assert ipaddress.IPv6Network(network(str(address))) == expected


def test_the_zone_of_a_link_local_address_makes_no_other_source() -> None:
    assert network("fe80::1%eth0") == network("fe80::2%eth1") == "fe80::/64"


@given(st.text(max_size=50))
def test_any_text_is_some_source(peer: str) -> None:
    assert isinstance(network(peer), str)


def test_what_is_no_address_is_a_source_of_its_own() -> None:
    assert network("") == ""
    assert network("a:b:c") == "a:b:c"
