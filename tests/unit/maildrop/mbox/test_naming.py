"""Which unique-id a message gets, over the life of a maildrop."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from preforkpop.maildrop import uidl
from preforkpop.maildrop.mbox.naming import Namer
from preforkpop.maildrop.mbox.scan import Scanned
from preforkpop.maildrop.mbox.table import Builder, Table

A, B, C = (letter * 16 for letter in (b"a", b"b", b"c"))


def scanned(digest: bytes, claim: bytes | None = None) -> Scanned:
    return Scanned(0, 30, 10, 12, digest, claim)


def table(*messages: Scanned, known: Table | None = None) -> Table:
    """What a scan of a whole spool makes of messages."""
    namer = Namer()
    if known is not None:
        namer.recall(known, present=False)
    builder = Builder()
    for named in namer.name(messages):
        builder.add(named)
    return builder.table(1000, durable=namer.durable)


def grown(known: Table, *messages: Scanned) -> Table:
    """What is made of messages that were added."""
    namer = Namer()
    namer.recall(known, present=True)
    named = list(namer.name(messages))
    return known.followed_by(None, named, 1000, durable=namer.durable)


def cut(known: Table, *numbers: int) -> Table:
    return known.without(frozenset(numbers))


def test_an_id_is_made_from_the_digest() -> None:
    assert table(scanned(A), scanned(B)).unique_ids() == [
        uidl.from_digest(A, 0),
        uidl.from_digest(B, 0),
    ]


def test_copies_have_ids_of_their_own() -> None:
    ids = table(scanned(A), scanned(A), scanned(B), scanned(A)).unique_ids()
    assert len(set(ids)) == 4
    assert not table(scanned(A), scanned(A)).durable


def test_a_claim_is_honoured_once() -> None:
    found = table(scanned(A, b"old"), scanned(B, b"old"), scanned(C, b"other"))
    assert found.unique_ids() == [b"old", uidl.from_digest(B, 0), b"other"]


def test_a_claim_to_the_id_that_another_message_was_given_is_not_honoured() -> None:
    made = uidl.from_digest(A, 0)
    assert table(scanned(A), scanned(B, made)).unique_ids() == [made, uidl.from_digest(B, 0)]
    ids = table(scanned(B, made), scanned(A)).unique_ids()
    assert ids[0] == made
    assert ids[1] != made


def test_the_second_of_two_copies_keeps_its_id_when_the_first_is_removed() -> None:
    first = table(scanned(A), scanned(A))
    after = cut(first, 1)
    assert after.unique_ids() == first.unique_ids()[1:]
    assert after.durable, "the spool alone would give it the id of the first"
    again = table(scanned(A), known=after)
    assert again.unique_ids() == after.unique_ids()
    assert again.durable


def test_an_id_is_not_used_again_while_a_copy_is_left() -> None:
    first = table(scanned(A), scanned(A))
    later = grown(cut(first, 1), scanned(A))
    assert later.unique_ids()[0] == first.unique_ids()[1]
    assert later.unique_ids()[1] not in first.unique_ids()
    latest = table(scanned(A), scanned(A), scanned(A), known=later)
    assert latest.unique_ids()[:2] == later.unique_ids()
    assert len(set(latest.unique_ids()) | set(first.unique_ids())) == 4


def test_a_message_that_lost_its_claim_to_another_keeps_the_id_it_got() -> None:
    first = table(scanned(A, b"old"), scanned(B, b"old"))
    after = cut(first, 1)
    assert first.durable
    assert table(scanned(B, b"old"), known=after).unique_ids() == after.unique_ids()


def test_so_does_one_that_was_added_later() -> None:
    first = grown(table(scanned(A, b"old")), scanned(B, b"old"))
    assert first.durable
    after = cut(first, 1)
    assert after.durable
    assert after.unique_ids() == [uidl.from_digest(B, 0)]


def test_recorded_ids_survive_a_change_of_order_and_of_claims() -> None:
    first = table(scanned(A), scanned(B, b"old"), scanned(C))
    moved = table(scanned(C, b"new"), scanned(A), scanned(B), known=first)
    ids = first.unique_ids()
    assert moved.unique_ids() == [ids[2], ids[0], ids[1]]


def test_what_the_spool_alone_would_give_needs_no_record() -> None:
    for found in (
        table(scanned(A), scanned(B, b"x"), scanned(A)),
        cut(table(scanned(A), scanned(B)), 1),
        grown(table(scanned(A)), scanned(A), scanned(B, b"x")),
        table(scanned(A), scanned(A), known=table(scanned(A), scanned(A))),
        cut(table(scanned(A), scanned(B), scanned(A)), 3, 1),
    ):
        assert not found.durable


events = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.sampled_from([A, B]), st.sampled_from([None, b"x", b"y"])),
        st.tuples(st.just("remove"), st.integers(0, 9), st.none()),
        st.tuples(st.just("reread"), st.integers(), st.none()),
    ),
    max_size=20,
)


@settings(max_examples=1000)
@given(events)
def test_ids_are_distinct_and_stay_whatever_happens(
    what: list[tuple[str, bytes | int, bytes | None]],
) -> None:
    """Copies are told apart by the id they were given; a lost record gives what it had."""
    known = table()
    there: list[tuple[Scanned, bytes]] = []
    for event, value, claim in what:
        if event == "deliver":
            assert isinstance(value, bytes)
            message = scanned(value, claim)
            known = grown(known, message)
            there.append((message, known.unique_ids()[-1]))
        elif event == "remove" and there:
            assert isinstance(value, int)
            number = value % len(there)
            del there[number]
            known = cut(known, number + 1)
        else:
            known = table(*(message for message, _ in there), known=known)
        ids = known.unique_ids()
        assert ids == [one for _, one in there]
        assert len(set(ids)) == len(ids)
        if not known.durable:
            assert table(*(message for message, _ in there)).unique_ids() == ids
