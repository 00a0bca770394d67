"""Who goes first when there is no room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from preforkpop.login.crowd import Crowd
from preforkpop.system.addresses import network


def crowd(*peers: str) -> Crowd:
    made = Crowd()
    for number, peer in enumerate(peers):
        made.add(number, peer)
    return made


def test_nobody_waits() -> None:
    assert len(Crowd()) == 0
    assert Crowd().oldest_of_heaviest() is None


def test_the_oldest_of_the_address_that_holds_most_goes_first() -> None:
    assert (
        crowd("192.0.2.1", "192.0.2.7", "192.0.2.1", "192.0.2.7", "192.0.2.7").oldest_of_heaviest()
        == 1
    )


def test_among_addresses_that_hold_one_each_the_oldest_client_goes_first() -> None:
    made = crowd("192.0.2.1", "192.0.2.2", "192.0.2.3")
    assert made.oldest_of_heaviest() == 0
    made.remove(0, "192.0.2.1")
    assert made.oldest_of_heaviest() == 1


def test_addresses_of_one_ipv6_network_count_together() -> None:
    made = crowd("192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8::3")
    assert made.oldest_of_heaviest() == 2


PEERS = ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:1::1", "")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.sampled_from(PEERS)), max_size=80))
def test_it_agrees_with_counting_everybody(steps: list[tuple[bool, int, str]]) -> None:
    made = Crowd()
    here: dict[int, str] = {}
    for serial, (comes, pick, peer) in enumerate(steps):
        if comes or not here:
            here[serial] = peer
            made.add(serial, peer)
        else:
            number = list(here)[pick % len(here)]
            made.remove(number, here.pop(number))
        held: dict[str, list[int]] = {}
        for number, where in here.items():
            held.setdefault(network(where), []).append(number)
        most = max(map(len, held.values()), default=0)
        oldest = {min(numbers) for numbers in held.values() if len(numbers) == most}
        assert len(made) == len(here)
        assert made.oldest_of_heaviest() in (oldest or {None})
