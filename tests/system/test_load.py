"""Hundreds of mixed sessions while mail arrives: nothing is lost, nothing is removed twice."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.support import delivery
from tests.support.client import Client
from tests.support.fixtures import Servers
from tests.support.mailboxes import message, token, transmitted
from tests.support.server import Server

SESSIONS = 500
DELIVERIES = 240
CLIENTS = 8
USERS = [f"user{number}" for number in range(5)]
TRANSPORTS = ("off", "stls", "implicit")


def _message(name: str, number: int) -> bytes:
    """A message that can be told from all others, some small and some large."""
    word = f"{name}-{number}"
    return message(
        f"token={word}", f"{word} {'.' * (number % 70)}\n".encode() * (1 + number**2 % 999)
    )


@dataclass(slots=True)
class Account:
    """What has happened to one user's mail."""

    expected: dict[str, bytes] = field(default_factory=dict)  # each message delivered, by token
    removed: Counter[str] = field(default_factory=Counter)
    unique_ids: dict[bytes, str] = field(default_factory=dict)
    in_use: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def see(self, uid: bytes, octets: bytes) -> str:
        """Take note of a message that was fetched: whole, and always under the same unique-id."""
        word = token(octets)
        assert octets == transmitted(self.expected[word])
        with self.lock:
            assert self.unique_ids.setdefault(uid, word) == word, "a unique-id of two messages"
        return word


class Load:
    """Sessions on all maildrops, and the books about them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.accounts = {name: Account() for name in USERS}

    def deliver(self, numbers: range) -> None:
        """Deliver to one user after another."""
        for number in numbers:
            name = USERS[number % len(USERS)]
            octets = _message(name, number)
            account = self.accounts[name]
            account.expected[f"{name}-{number}"] = octets
            delivery.procmail(self.server.site, octets, name)

    def session(self, seed: int) -> None:
        """One of the things that clients do."""
        chance = random.Random(seed)
        name = chance.choice(USERS)
        account = self.accounts[name]
        with self.server.client(tls=chance.choice(TRANSPORTS)) as client:
            client.ok(f"USER {name}")
            answer = client.says("PASS secret")
            if answer.startswith(b"-ERR [IN-USE]"):
                account.in_use += 1
                return
            assert answer.startswith(b"+OK"), answer
            match chance.randrange(4):
                case 0:
                    self._poll(client)
                case 1:
                    self._leave(client)
                case _:
                    self.fetch(client, account, chance.random())

    def _poll(self, client: Client) -> None:
        count = int(client.ok("STAT").split()[1])
        assert len(client.uidl()) == count
        client.quit()

    def _leave(self, client: Client) -> None:
        """Mark everything as deleted and go without QUIT: nothing of it may be removed."""
        for number in client.uidl():
            client.ok(f"DELE {number}")

    def fetch(self, client: Client, account: Account, share: float) -> int:
        """Fetch a share of the messages and remove them; how many there are."""
        uids = client.uidl()
        chosen = [number for number in uids if random.Random(uids[number]).random() <= share]
        words = [account.see(uids[number], client.retrieve(number)) for number in chosen]
        for number in chosen:
            client.ok(f"DELE {number}")
        client.quit()
        with account.lock:
            account.removed.update(words)
        return len(uids)


@pytest.mark.timeout(240)
@pytest.mark.peer("procmail")
@pytest.mark.parametrize("mail_format", ["mbox", "maildir"])
def test_nothing_is_lost_and_nothing_removed_twice(servers: Servers, mail_format: str) -> None:
    server = servers.start(users=USERS, mail_format=mail_format)
    load = Load(server)
    load.deliver(range(40))
    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        arriving = pool.submit(load.deliver, range(40, DELIVERIES))
        done = list(pool.map(load.session, range(SESSIONS)))
        arriving.result()
    assert len(done) == SESSIONS
    server.wait_quiet()
    for name, account in load.accounts.items():
        left = Counter(map(token, server.site.stored(name)))
        assert account.removed + left == Counter(list(account.expected))
        with server.session(name) as client:
            load.fetch(client, account, 1)
        assert account.removed == Counter(list(account.expected))
        assert server.site.stored(name) == []
    assert not [one.name for one in server.site.mail.iterdir() if one.name.endswith(".lock")]
    removed = sum(account.removed.total() for account in load.accounts.values())
    assert removed == DELIVERIES
