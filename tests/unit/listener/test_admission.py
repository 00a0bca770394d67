"""Who may connect."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from preforkpop.listener.admission import Ledger
from preforkpop.system.addresses import network


def rule(ledger: Ledger, peer: str) -> str:
    """The setting that turns this address away; "" when it is admitted."""
    refusal = ledger.admit(peer)
    return refusal.rule if refusal else ""


def test_without_limits_everybody_is_admitted() -> None:
    ledger = Ledger(instances=0, per_source=0)
    assert not any(rule(ledger, "192.0.2.7") for _ in range(1000))
    assert ledger.total == 1000


def test_instances_are_counted_over_all() -> None:
    ledger = Ledger(instances=2, per_source=0)
    assert [rule(ledger, f"192.0.2.{last}") for last in range(3)] == ["", "", "instances"]
    ledger.end("192.0.2.0")
    assert rule(ledger, "192.0.2.9") == ""


def test_an_address_has_its_own_limit() -> None:
    ledger = Ledger(instances=0, per_source=2)
    assert [rule(ledger, "192.0.2.7") for _ in range(3)] == ["", "", "per_source"]
    assert rule(ledger, "192.0.2.8") == ""
    ledger.end("192.0.2.7")
    assert rule(ledger, "192.0.2.7") == ""


def test_a_network_of_ipv6_is_one_source() -> None:
    ledger = Ledger(instances=0, per_source=1)
    assert rule(ledger, "2001:db8::1") == ""
    assert rule(ledger, "2001:db8::ffff") == "per_source"
    assert rule(ledger, "2001:db8:0:1::1") == ""


def test_who_is_turned_away_does_not_count() -> None:
    ledger = Ledger(instances=1, per_source=1)
    ledger.admit("192.0.2.7")
    for peer in ("192.0.2.7", "192.0.2.8"):
        ledger.admit(peer)
    ledger.end("192.0.2.7")
    assert ledger.total == 0
    assert rule(ledger, "192.0.2.8") == ""


def test_limits_can_change_under_sessions_that_were_admitted_without() -> None:
    ledger = Ledger(instances=0, per_source=0)
    for _ in range(3):
        ledger.admit("192.0.2.7")
    ledger.limit(instances=10, per_source=2)
    ledger.end("192.0.2.7")
    assert rule(ledger, "192.0.2.7") == "per_source"
    ledger.end("192.0.2.7")
    assert rule(ledger, "192.0.2.7") == ""
    ledger.limit(instances=1, per_source=0)
    assert rule(ledger, "192.0.2.8") == "instances"


PEERS = ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "", "what")


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(PEERS)), max_size=60))
def test_no_limit_is_ever_passed_and_nothing_is_lost(steps: list[tuple[bool, str]]) -> None:
    ledger = Ledger(instances=5, per_source=2)
    here: list[str] = []
    for comes, peer in steps:
        if not comes:
            if peer in here:
                here.remove(peer)
                ledger.end(peer)
            continue
        held = sum(network(one) == network(peer) for one in here)
        refused = bool(ledger.admit(peer))
        assert refused == (len(here) >= 5 or held >= 2)
        if not refused:
            here.append(peer)
    assert ledger.total == len(here)
