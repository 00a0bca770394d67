"""The measurements: load, a giant mailbox, memory. Servers take turns, round by round."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import mkmail

from compare.load import held, popbench, sample
from compare.place import Mailboxes, Place
from compare.scenarios import GIANT, HELD_LOGGED_IN, HELD_WAITING, LOADS, MEMORY, OURS, Load
from compare.server import Server

SETTLE = 2.5  # seconds: servers add and remove spare processes once a second
Figures = dict[str, float | str]


@dataclass(frozen=True)
class Options:
    """How long and how often, of what."""

    rounds: int
    seconds: float
    clients: int
    users: int
    giant_messages: int
    only: tuple[str, ...]
    servers: tuple[str, ...]


@dataclass
class Results:
    """Samples by scenario and server, in the order of the rounds."""

    samples: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def add(self, scenario: str, server: str, figures: Figures) -> None:
        self.samples.setdefault(scenario, {}).setdefault(server, []).append(figures)

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.started:5.0f} s  {text}", file=sys.stderr, flush=True)


class Comparison:
    """One run of everything that was asked for."""

    def __init__(self, path: Path, options: Options, kinds: dict[str, type[Server]]) -> None:
        self.options = options
        self.kinds = kinds
        self.results = Results()
        self.place = Place(path)
        self._mail: Mailboxes | None = None

    def run(self) -> Results:
        groups: dict[tuple[str, str], list[Load]] = {}
        for load in LOADS:
            if load.name in self.options.only:
                groups.setdefault((load.form, load.key), []).append(load)
        for (form, key), loads in groups.items():
            self._loads(form, key, loads)
        if MEMORY in self.options.only:
            self._memory()
        if GIANT in self.options.only:
            self._giant()
        return self.results

    # -- mailboxes and servers --

    def _ordinary_mail(self) -> Mailboxes:
        if self._mail is None:
            shape = mkmail.Shape(self.options.users)
            self.results.say(f"making {shape.users} mailboxes")
            self._mail = self.place.make_mail("mail", shape, ("mbox", "maildir"))
        return self._mail

    @contextmanager
    def _servers(
        self, names: list[str], mail: Mailboxes, form: str, key: str
    ) -> Iterator[list[Server]]:
        """Give each server its copy of the mail; none is started."""
        servers: list[Server] = []
        try:
            for name in names:
                servers.append(self.kinds[name](self.place, mail, form, key))  # noqa: PERF401 - the end removes those that were made
            yield servers
        finally:
            for server in servers:
                server.stop()
                server.remove()

    def _wanted(self, names: tuple[str, ...] | dict[str, int]) -> list[str]:
        return [name for name in names if name in self.kinds]

    def _in_turn(self, servers: list[Server]) -> Iterator[tuple[int, Server]]:
        """All servers in each round, another one first each time."""
        for number in range(self.options.rounds):
            first = number % len(servers)
            for server in servers[first:] + servers[:first]:
                yield number, server

    # -- load --

    def _loads(self, form: str, key: str, loads: list[Load]) -> None:
        names = self._wanted(tuple(dict.fromkeys(name for one in loads for name in one.servers)))
        mail = self._ordinary_mail()
        self.results.say(f"{form}, {key}: copying mail for {', '.join(names)}")
        with self._servers(names, mail, form, key) as servers:
            for server in servers:
                server.start()
                self._verify(server, mail)
            for number, server in self._in_turn(servers):
                for load in loads:
                    if server.name in load.servers:
                        self._one_load(number, server, load)

    def _verify(self, server: Server, mail: Mailboxes) -> None:
        """Fetch every message once: they have to be right, and the indexes are warm thereafter."""
        self.results.say(f"{server.name}: verifying every message")
        popbench(
            server,
            "fetch",
            "--sessions",
            len(server.accounts),
            "--clients",
            min(self.options.clients, len(server.accounts)),
            "--manifest",
            mail.manifest(server.form),
        )

    def _one_load(self, number: int, server: Server, load: Load) -> None:
        options = self.options
        taken = sample(server, load.scenario, options.seconds, options.clients, tls=load.tls)
        self.results.add(load.name, server.name, taken.as_dict())
        self.results.say(
            f"round {number + 1}, {load.title}, {server.name}: {taken.sessions_per_second:.0f}/s, "
            f"{taken.megabytes_per_second:.0f} MB/s, {taken.cpu_milliseconds:.3f} ms"
        )

    # -- a giant mailbox --

    def _giant(self) -> None:
        names = self._wanted((OURS, "dovecot-tuned"))
        shape = mkmail.Shape(
            1, self.options.giant_messages, median=8_000, mean=20_000, quirks=0.01, prefix="giant"
        )
        self.results.say(f"making a mailbox of {shape.messages} messages")
        mail = self.place.make_mail("giant", shape, ("mbox",))
        with self._servers(names, mail, "mbox", "rsa") as servers:
            for number, server in self._in_turn(servers):
                server.stop()
                server.forget()
                server.start()
                figures = {**self._login(server, "first"), **self._login(server, "second")}
                self.results.add(GIANT, server.name, figures)
                told = ", ".join(f"{key} {value:.1f}" for key, value in figures.items())
                self.results.say(f"round {number + 1}, giant, {server.name}: {told}")
                server.stop()

    @staticmethod
    def _login(server: Server, which: str) -> Figures:
        before = server.cpu()
        options = ("--uidl", "--sessions", 1, "--clients", 1, "--timeout", 120)
        found = popbench(server, "stat", *options)["latency_ms"]
        return {
            f"{which}_stat_ms": found["connect_to_stat"]["p50"],
            f"{which}_uidl_ms": found["connect_to_uidl"]["p50"],
            f"{which}_cpu_ms": (server.cpu() - before) * 1000,
        }

    # -- memory --

    def _memory(self) -> None:
        names = self._wanted(HELD_WAITING)
        with self._servers(names, self._ordinary_mail(), "mbox", "rsa") as servers:
            for server in servers:
                server.start()
                popbench(server, "poll", "--sessions", 4 * self.options.clients)
                figures = {
                    **self._client(server, "waiting", HELD_WAITING[server.name]),
                    **self._client(server, "waiting_tls", HELD_WAITING[server.name]),
                    **self._client(server, "logged_in", HELD_LOGGED_IN[server.name]),
                }
                server.stop()
                self.results.add(MEMORY, server.name, figures)
                told = ", ".join(f"{key} {value:.1f}" for key, value in figures.items())
                self.results.say(f"memory, {server.name}: {told}")

    def _client(self, server: Server, state: str, clients: int) -> Figures:
        scenario = "hold-logged-in" if state == "logged_in" else "hold-waiting"
        clients = min(clients, len(server.accounts)) if state == "logged_in" else clients
        idle = settled(server)
        with held(server, scenario, clients, tls=state == "waiting_tls"):
            full = settled(server)
        return {
            f"idle_before_{state}_kB": idle / 1000,
            f"{state}_kB": (full - idle) / clients / 1000,
        }


def settled(server: Server) -> int:
    """Return its memory when it has stopped to start and end spare processes."""
    deadline = time.monotonic() + 30
    before: list[int] = []
    while (now := sorted(server.processes())) != before and time.monotonic() < deadline:
        before = now
        time.sleep(SETTLE)
    return server.memory()
