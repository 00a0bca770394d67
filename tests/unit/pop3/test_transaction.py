"""The TRANSACTION and UPDATE states."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preforkpop.pop3.command import COMMANDS, State
from preforkpop.pop3.transaction import Ending, Statistics, StoreError, Transaction
from tests.unit.pop3.fake_maildrop import CHANGED, FakeMaildrop

A = b"Subject: a\n\none\n.two\n"  # 25 octets as transmitted
B = b"Subject: b\n\nthree\nfour"  # 27


def session(maildrop: FakeMaildrop | None = None, maximum_bad_commands: int = 10) -> Transaction:
    return Transaction(
        maildrop or FakeMaildrop([A, B]),
        user=b"fred",
        implementation="preforkpop-1.0",
        maximum_bad_commands=maximum_bad_commands,
    )


def say(transaction: Transaction, *lines: bytes) -> bytes:
    """The answer to lines that arrive together."""
    return b"".join(transaction.receive(b"".join(line + b"\r\n" for line in lines)))


class TestAccepted:
    def test_the_answer_to_the_login_says_what_is_there(self) -> None:
        assert session().accepted() == (
            b"+OK fred has 2 visible messages (0 hidden) in 52 octets.\r\n"
        )
        assert b"1 visible message (" in session(FakeMaildrop([A])).accepted()

    def test_a_strange_user_name_stays_in_its_line(self) -> None:
        transaction = Transaction(FakeMaildrop([]), user=b"a\r\nb" * 100, implementation="x")
        answer = transaction.accepted()
        assert answer.count(b"\r\n") == 1
        assert len(answer) <= 512


class TestListings:
    def test_stat_counts_what_is_not_deleted(self) -> None:
        assert say(session(), b"STAT", b"DELE 1", b"STAT") == (
            b"+OK 2 52\r\n+OK Message 1 has been deleted.\r\n+OK 1 27\r\n"
        )

    def test_a_listing_without_deletions_is_one_buffer(self) -> None:
        assert list(session().receive(b"LIST\r\n")) == [
            b"+OK 2 messages (52 octets)\r\n1 25\r\n2 27\r\n.\r\n"
        ]
        assert list(session().receive(b"UIDL\r\n")) == [
            b"+OK Unique-id listing follows\r\n1 uid-1\r\n2 uid-2\r\n.\r\n"
        ]

    @pytest.mark.parametrize("deleted", [[1], [2], [3], [1, 3], [1, 2, 3]])
    def test_a_listing_leaves_out_the_deleted(self, deleted: list[int]) -> None:
        transaction = session(FakeMaildrop([A, B, A]))
        for number in deleted:
            say(transaction, b"DELE %d" % number)
        left = [number for number in (1, 2, 3) if number not in deleted]
        sizes = {1: 25, 2: 27, 3: 25}
        assert say(transaction, b"LIST").split(b"\r\n")[1:] == [
            *(b"%d %d" % (number, sizes[number]) for number in left),
            b".",
            b"",
        ]
        assert say(transaction, b"UIDL").split(b"\r\n")[1:] == [
            *(b"%d uid-%d" % (number, number) for number in left),
            b".",
            b"",
        ]

    def test_a_listing_that_the_store_cannot_make_is_an_error_and_no_end(self) -> None:
        maildrop = FakeMaildrop([A])
        maildrop.fail_listings = StoreError("SYS/PERM", "unreadable", "/var/mail/fred: EACCES")
        transaction = session(maildrop)
        assert say(transaction, b"LIST") == b"-ERR [SYS/PERM] unreadable\r\n"
        assert transaction.failure is maildrop.fail_listings
        assert transaction.ending is None


class TestRetrieve:
    def test_a_small_message_is_one_buffer(self) -> None:
        assert list(session().receive(b"RETR 1\r\n")) == [
            b"+OK 25 octets\r\nSubject: a\r\n\r\none\r\n..two\r\n.\r\n"
        ]

    def test_a_large_message_is_read_as_it_is_sent(self) -> None:
        maildrop = FakeMaildrop([b"x" * 75 + b"\n"] * 1, chunk=10)
        buffers = session(maildrop).receive(b"RETR 1\r\n")
        assert maildrop.chunks_read == 0
        next(buffers)
        assert maildrop.chunks_read == 2
        assert b"".join(buffers).endswith(b"x\r\n.\r\n")

    def test_top_reads_no_more_than_it_sends(self) -> None:
        maildrop = FakeMaildrop([b"A: b\n\n" + b"line\n" * 1000], chunk=6)
        assert say(session(maildrop), b"TOP 1 0") == b"+OK Message follows\r\nA: b\r\n\r\n.\r\n"
        assert maildrop.chunks_read == 1

    @pytest.mark.parametrize("command", [b"RETR 1", b"TOP 1 9"])
    def test_a_store_that_fails_before_the_first_octet_gives_an_error(self, command: bytes) -> None:
        maildrop = FakeMaildrop([A])
        maildrop.fail_after = 0
        transaction = session(maildrop)
        assert say(transaction, command, b"STAT") == (
            b"-ERR [SYS/TEMP] The maildrop was changed by another program\r\n+OK 1 25\r\n"
        )
        assert transaction.failure is CHANGED
        assert transaction.ending is None
        assert transaction.statistics().retrieved == 0

    @pytest.mark.parametrize("chunks", range(1, 6))
    @pytest.mark.parametrize("command", [b"RETR 1", b"TOP 1 99"])
    def test_a_store_that_fails_later_never_gives_a_whole_message(
        self, command: bytes, chunks: int
    ) -> None:
        maildrop = FakeMaildrop([b"a\n.\nb\n" * 4], chunk=4)
        maildrop.fail_after = chunks
        transaction = session(maildrop)
        answer = say(transaction, command, b"STAT", b"QUIT")
        if answer.startswith(b"-ERR"):
            assert transaction.ending is Ending.QUIT
            return
        assert transaction.ending is Ending.CUT
        assert b"\r\n.\r\n" not in answer
        assert transaction.failure is CHANGED
        assert transaction.statistics().retrieved == 0
        assert transaction.statistics().tops == 0
        assert maildrop.updates == []


class TestUpdate:
    def test_quit_removes_the_deleted(self) -> None:
        maildrop = FakeMaildrop([A, B])
        transaction = session(maildrop)
        answer = say(transaction, b"DELE 1", b"QUIT", b"STAT")
        assert answer.endswith(b"+OK POP3 server signing off.\r\n")
        assert maildrop.updates == [frozenset({1})]
        assert transaction.ending is Ending.QUIT
        assert say(transaction, b"STAT") == b""

    def test_rset_takes_deletions_back(self) -> None:
        maildrop = FakeMaildrop([A, B])
        transaction = session(maildrop)
        say(transaction, b"DELE 1", b"DELE 2")
        assert say(transaction, b"RSET") == b"+OK Maildrop has 2 messages (52 octets).\r\n"
        say(transaction, b"QUIT")
        assert maildrop.updates == [frozenset()]

    def test_a_failed_update_is_answered_with_an_error_and_ends_the_session(self) -> None:
        maildrop = FakeMaildrop([A, B])
        maildrop.fail_update = StoreError("SYS/TEMP", "disk full", "/var/mail/fred: ENOSPC")
        transaction = session(maildrop)
        say(transaction, b"DELE 1")
        assert say(transaction, b"QUIT") == (
            b"-ERR [SYS/TEMP] Some deleted messages not removed: disk full\r\n"
        )
        assert transaction.ending is Ending.UPDATE_FAILED
        assert transaction.failure is maildrop.fail_update

    def test_nothing_is_removed_when_bad_commands_end_the_session(self) -> None:
        maildrop = FakeMaildrop([A])
        transaction = session(maildrop, maximum_bad_commands=1)
        say(transaction, b"DELE 1", b"x", b"y", b"QUIT")
        assert transaction.ending is Ending.BAD_COMMANDS
        assert maildrop.updates == []


class TestBadCommands:
    @pytest.mark.parametrize(
        "line",
        [b"", b"XTND", b"RETR", b"RETR x", b"TOP 1 x", b"TOP 1", b"USER a", b"\0", b"x" * 600],
    )
    def test_a_malformed_line_gets_one_error_and_counts(self, line: bytes) -> None:
        transaction = session()
        answer = say(transaction, line)
        assert answer.startswith(b"-ERR ")
        assert answer.count(b"\r\n") == 1
        assert transaction.bad_commands == 1
        assert say(transaction, b"NOOP") == b"+OK Done.\r\n"

    @pytest.mark.parametrize("line", [b"RETR 0", b"LIST 3", b"DELE 2", b"TOP 9 0", b"UIDL 2"])
    def test_a_message_that_is_not_there_is_an_error_that_does_not_count(self, line: bytes) -> None:
        transaction = session()
        say(transaction, b"DELE 2")
        assert say(transaction, line).startswith(b"-ERR Message ")
        assert transaction.bad_commands == 0

    def test_a_line_without_an_end_is_answered_at_once_and_held_in_no_memory(self) -> None:
        transaction = session()
        answers = b"".join(b"".join(transaction.receive(b"x" * 65526)) for _ in range(50))
        assert answers == b"-ERR Line too long; at most 512 octets.\r\n"
        assert say(transaction, b"RETR 1", b"STAT") == b"+OK 2 52\r\n"


class TestBookkeeping:
    def test_statistics(self) -> None:
        transaction = session()
        say(transaction, b"RETR 1", b"RETR 1", b"TOP 2 0", b"RETR 9", b"DELE 2")
        assert transaction.statistics() == Statistics(
            deleted=1,
            deleted_octets=27,
            left=1,
            left_octets=25,
            retrieved=2,
            retrieved_octets=50,
            tops=1,
        )

    def test_the_command_and_the_message_are_known_while_a_message_is_sent(self) -> None:
        transaction = session()
        next(transaction.receive(b"RETR 2\r\n"))
        assert (transaction.command, transaction.message) == (b"RETR", 2)
        say(transaction, b"STAT")
        assert (transaction.command, transaction.message) == (b"STAT", 0)

    def test_an_idle_session_holds_no_buffer_of_old_input(self) -> None:
        transaction = session()
        say(transaction, *[b"NOOP"] * 1000)
        assert b"".join(transaction.receive(b"ST")) == b""
        assert b"".join(transaction.receive(b"AT\r\n")) == b"+OK 2 52\r\n"


@pytest.mark.parametrize(
    "keyword",
    [keyword for keyword in COMMANDS if State.TRANSACTION in keyword.states],
    ids=lambda keyword: keyword.name,
)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_every_command_of_the_table_succeeds_alone_and_pipelined(
    keyword: object, end: bytes
) -> None:
    name, minimum = keyword.name.encode(), keyword.minimum  # type: ignore[attr-defined]
    line = b" ".join([name, *[b"1"] * minimum]) + end
    alone = b"".join(session().receive(line))
    assert alone.startswith(b"+OK")
    assert b"".join(session().receive(b"NOOP\r\n" + line)) == b"+OK Done.\r\n" + alone


vocabulary = st.sampled_from(
    [keyword.name.encode() + b"\r\n" for keyword in COMMANDS]
    + [b"LIST 1\r\n", b"UIDL 2\n", b"RETR 1\r\n", b"RETR 2\n", b"TOP 1 1\r\n", b"TOP 2 99\r\n"]
    + [b"DELE 1\r\n", b"DELE 2\r\n", b"DELE 3\r\n", b"RETR 0\r\n", b"x" * 600, b"\r\n", b"\0\r"]
)
inputs = st.lists(vocabulary | st.binary(max_size=30), max_size=25).map(b"".join)


def converse(pieces: list[bytes], chunk: int) -> tuple[bytes, Ending | None, list[int]]:
    maildrop = FakeMaildrop([A, B, b"", b".\n.\n"], chunk=chunk)
    transaction = session(maildrop)
    said = b"".join(b"".join(transaction.receive(piece)) for piece in pieces)
    return said, transaction.ending, maildrop.left()


@given(inputs, st.lists(st.integers(0, 2000), max_size=8), st.integers(1, 9))
def test_chunking_makes_no_difference(octets: bytes, at: list[int], chunk: int) -> None:
    ends = sorted(min(place, len(octets)) for place in at)
    pieces = [octets[a:b] for a, b in zip([0, *ends], [*ends, len(octets)], strict=True)]
    assert converse(pieces, chunk) == converse([octets], 65526)


@given(inputs)
def test_any_input_gives_well_formed_replies_and_removes_only_at_quit(octets: bytes) -> None:
    said, ending, left = converse([octets], 65526)
    assert not said or said.endswith(b"\r\n")
    assert ending in (None, Ending.QUIT, Ending.BAD_COMMANDS)
    assert ending is Ending.QUIT or left == [1, 2, 3, 4]
    for line in said.split(b"\r\n"):
        assert len(line) <= 510
