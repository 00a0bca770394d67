"""The page of messages: what is packed comes out again, anything else is a MessageError."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preforkpop.ipc.channel import MAXIMUM_MESSAGE, MessageError
from preforkpop.ipc.messages import Admitted, Attempt, Client, Grant, Verdict

octet = st.integers(0, 255)
port = st.integers(0, 65535)
seconds = st.floats(allow_nan=False)
octets = st.binary(max_size=40)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.binary(max_size=20).map(lambda one: one.decode("utf-8", "surrogateescape"))
address = st.one_of(st.ip_addresses().map(str), st.just(""), st.just("fe80::1%eth0"))
identity = st.integers(0, 2**32 - 1)

admitted = st.builds(Admitted, octet, port, seconds, address)
client = st.builds(
    Client,
    listener=octet,
    port=port,
    accepted=seconds,
    number=st.integers(0, 2**64 - 1),
    tls=st.booleans(),
    failures=octet,
    bad_commands=octet,
    peer=address,
    stamp=octets,
)
attempt = st.builds(
    Attempt,
    client=client,
    slot=port,
    deadline=seconds,
    mechanism=text,
    user=octets,
    authzid=octets,
    secret=octets,
    rest=octets,
)
verdict = st.builds(Verdict, client=client, code=text, text=text, user=octets, rest=octets)
grant = st.builds(
    Grant,
    tls=st.booleans(),
    passwords=st.booleans(),
    port=port,
    accepted=seconds,
    deadline=seconds,
    uid=identity,
    gid=identity,
    groups=st.lists(identity, max_size=5).map(tuple),
    user=text,
    home=names,
    path=names,
    peer=address,
    mechanism=text,
    rest=octets,
)
message = st.one_of(admitted, attempt, verdict, grant)
kinds = pytest.mark.parametrize("kind", [Admitted, Attempt, Verdict, Grant])


@given(message)
def test_a_message_arrives_as_it_was_sent(one: Any) -> None:
    assert type(one).unpack(one.pack()) == one


@kinds
@given(octets=st.binary(max_size=300))
@example(octets=b"")
def test_any_octets_are_a_message_or_an_error(kind: Any, octets: bytes) -> None:
    try:
        one = kind.unpack(octets)
    except MessageError:
        return
    assert isinstance(one, kind)


@given(message, st.data())
def test_a_message_with_other_octets_in_it_is_a_message_or_an_error(
    one: Any, data: st.DataObject
) -> None:
    octets = bytearray(one.pack())
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] = data.draw(octet)
    try:
        type(one).unpack(bytes(octets))
    except MessageError:
        return


@given(st.one_of(attempt, verdict, grant), st.data())
def test_a_message_that_was_cut_or_is_too_long_is_an_error(one: Any, data: st.DataObject) -> None:
    octets = one.pack()
    cut = data.draw(st.integers(0, len(octets) - 1))
    for wrong in (octets[:cut], octets + b"x"):
        with pytest.raises(MessageError):
            type(one).unpack(wrong)


def an_attempt(**changes: Any) -> Attempt:
    known = Client(0, 1, 2.0, 3, True, 0, 0, changes.pop("peer", "192.0.2.7"), b"")
    return Attempt(known, 0, 1.0, "USER", b"fred", b"", b"secret", changes.pop("rest", b""))


def test_a_tab_or_nul_in_a_password_is_an_octet_like_any_other() -> None:
    one = Attempt(an_attempt().client, 0, 1.0, "USER", b"a\tb", b"\0", b"x\tuid=0\0\n", b"\0")
    assert Attempt.unpack(one.pack()) == one


def test_a_message_that_would_not_fit_is_refused_by_who_makes_it() -> None:
    with pytest.raises(MessageError):
        an_attempt(rest=bytes(MAXIMUM_MESSAGE)).pack()


@pytest.mark.parametrize("peer", ["192.0.2.7\n", "\0", "\x7f", "ä"])
def test_an_address_that_could_forge_a_log_line_is_an_error(peer: str) -> None:
    with pytest.raises(MessageError):
        Attempt.unpack(an_attempt(peer=peer).pack())
    with pytest.raises(MessageError):
        Admitted.unpack(Admitted(0, 1, 2.0, peer).pack())


def test_counts_beyond_an_octet_are_the_greatest() -> None:
    many = Client(0, 1, 2.0, 3, True, 1000, 1000, "", b"")
    packed = Verdict(many, "AUTH", "Wrong", b"", b"").pack()
    known = Verdict.unpack(packed).client
    assert (known.failures, known.bad_commands) == (255, 255)


def test_a_user_of_a_thousand_groups_keeps_them() -> None:
    groups = tuple(range(1000, 2000))
    one = Grant(True, True, 1, 2.0, 3.0, 4, 5, groups, "fred", "/", "/", "", "USER", b"")
    assert Grant.unpack(one.pack()).groups == groups


@kinds
def test_no_secret_is_shown(kind: Any) -> None:
    client_ = an_attempt().client
    shown = {
        Admitted: repr(Admitted(0, 1, 2.0, "")),
        Attempt: repr(an_attempt(rest=b"PASS hunter2")),
        Verdict: repr(Verdict(client_, "AUTH", "Wrong", b"fred", b"PASS hunter2")),
        Grant: repr(
            Grant(True, True, 1, 2.0, 3.0, 4, 5, (), "fred", "/", "/", "", "USER", b"PASS hunter2")
        ),
    }[kind]
    assert "hunter2" not in shown
    assert "secret'" not in shown
