"""Real POP3 clients: how each is told to fetch a maildrop, and what it then has.

Each keeps its files in a directory that the test gives it, trusts the tests' authority and no
other, and is told to leave messages as they are.
"""

from __future__ import annotations

import os
import poplib
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.certificates import client_context
from tests.support.mailboxes import make_maildir, read_maildir
from tests.support.site import Site, as_account

HOST: Final = "127.0.0.1"
OFF, STLS, IMPLICIT = "off", "stls", "implicit"


@dataclass(frozen=True, slots=True)
class Order:
    """What a client is to do."""

    site: Site
    user: str
    tls: str  # "off", "stls" or "implicit"
    directory: Path  # of the client
    keep: bool = True  # leave the messages on the server

    @property
    def port(self) -> int:
        """Where to connect to."""
        return self.site.tls_port if self.tls == IMPLICIT else self.site.port

    @property
    def password(self) -> str:
        """The user's."""
        return self.site.user(self.user).password


@dataclass(frozen=True, slots=True)
class Peer:
    """A client."""

    name: str
    fetch: Callable[[Order], list[bytes]]
    transports: Sequence[str] = (OFF, STLS, IMPLICIT)
    program: str = ""  # "" for a library of Python
    transmitted: bool = False  # messages as they were sent, in their order; else stored with LF
    faithful: bool = False  # it takes everything as it comes, NULs and lines without end too


def _run(
    words: Sequence[str], directory: Path, *, octets: bytes = b"", good: Sequence[int] = (0,)
) -> bytes:
    """Run a client as who owns its directory: some refuse to deliver mail as root."""
    owner = directory.stat()
    done = subprocess.run(
        words,
        input=octets,
        capture_output=True,
        check=False,
        timeout=90,
        cwd=directory,
        env={"PATH": os.defpath, "HOME": str(directory), "LC_ALL": "C.UTF-8"},
        **as_account(owner.st_uid, owner.st_gid),
    )
    said = done.stderr + done.stdout[-2000:]
    assert done.returncode in good, f"{words[0]}: exit {done.returncode}: {said.decode()}"
    return bytes(done.stdout)


def _inbox(directory: Path) -> Path:
    """The Maildir in which a client collects."""
    inbox = directory / "inbox"
    if not inbox.exists():
        owner = directory.stat()
        make_maildir(inbox, (owner.st_uid, owner.st_gid))
    return inbox


def _config(path: Path, *lines: str) -> str:
    path.write_text("".join(f"{line}\n" for line in lines))
    owner = path.parent.stat()
    os.chown(path, owner.st_uid, owner.st_gid)
    path.chmod(0o600)
    return str(path)


def curl(order: Order) -> list[bytes]:
    """LIST, then each message by its number, all in one session."""
    scheme = "pop3s" if order.tls == IMPLICIT else "pop3"
    words = ["curl", "--silent", "--show-error", "--user", f"{order.user}:{order.password}"]
    words += ["--cacert", str(order.site.authority)]
    words += ["--ssl-reqd"] if order.tls == STLS else []
    url = f"{scheme}://{HOST}:{order.port}/"
    listing = _run([*words, url], order.directory)
    count = len(listing.splitlines())
    _run([*words, "--output", "#1", f"{url}[1-{count}]"], order.directory)
    return [(order.directory / str(number)).read_bytes() for number in range(1, count + 1)]


def poplib_client(order: Order) -> list[bytes]:
    """Python's own."""
    if order.tls == IMPLICIT:
        client: poplib.POP3 = poplib.POP3_SSL(HOST, order.port, context=client_context())
    else:
        client = poplib.POP3(HOST, order.port)
        if order.tls == STLS:
            client.stls(client_context())
    client.user(order.user)
    client.pass_(order.password)
    count, _octets = client.stat()
    found = []
    for number in range(1, count + 1):
        _answer, lines, _size = client.retr(number)
        found.append(b"".join(line + b"\r\n" for line in lines))
        if not order.keep:
            client.dele(number)
    client.quit()
    return found


def s_client(order: Order) -> list[bytes]:
    """A person with openssl: everything typed ahead."""
    words = ["openssl", "s_client", "-quiet", "-connect", f"{HOST}:{order.port}"]
    words += ["-CAfile", str(order.site.authority), "-verify_return_error", "-verify_ip", HOST]
    words += ["-starttls", "pop3"] if order.tls == STLS else []
    count = len(order.site.stored(order.user))
    commands = [f"USER {order.user}", f"PASS {order.password}"]
    commands += [f"RETR {number}" for number in range(1, count + 1)]
    typed = "".join(f"{command}\r\n" for command in [*commands, "QUIT"])
    said = _run(words, order.directory, octets=typed.encode())
    lines = iter(said.split(b"\r\n"))
    for _answer in range(4 - 2 * (order.tls == STLS)):  # openssl itself has read the greeting
        if next(lines).startswith(b"+OK " + order.user.encode() + b" has"):
            break
    found = []
    for _message in range(count):
        assert next(lines).startswith(b"+OK")
        octets = b""
        while (line := next(lines)) != b".":
            octets += (line[1:] if line.startswith(b".") else line) + b"\r\n"
        found.append(octets)
    assert next(lines).startswith(b"+OK")
    assert list(lines) == [b""]
    return found


def fetchmail(order: Order) -> list[bytes]:
    """Delivers through a program, here one that writes a file for each message."""
    inbox = _inbox(order.directory)
    tls = {
        OFF: "sslproto ''",
        STLS: f"sslproto 'TLS1.2+' sslcertck sslcertfile '{order.site.authority}'",
        IMPLICIT: f"ssl sslcertck sslcertfile '{order.site.authority}'",
    }
    rules = _config(
        order.directory / "fetchmailrc",
        "set invisible",
        f"set idfile '{order.directory}/ids'",
        f"set pidfile '{order.directory}/pid'",
        f"poll localhost via {HOST} port {order.port} protocol pop3 uidl auth password",
        f"user '{order.user}' password '{order.password}'",
        "keep" if order.keep else "fetchall no keep",
        "no rewrite no mimedecode no dropstatus",
        f"sslcommonname localhost {tls[order.tls]}",
        f"mda \"/bin/sh -c 'cat >$(mktemp {inbox}/new/XXXXXXXX)'\"",
    )
    _run(["fetchmail", "--nodetach", "--nosyslog", "-f", rules], order.directory, good=(0, 1))
    return read_maildir(inbox)


def mpop(order: Order) -> list[bytes]:
    """Delivers into a Maildir of its own."""
    inbox = _inbox(order.directory)
    rules = _config(
        order.directory / "mpoprc",
        "account default",
        f"host {HOST}",
        f"port {order.port}",
        f"user {order.user}",
        f"password {order.password}",
        "auth user",
        f"tls {'off' if order.tls == OFF else 'on'}",
        f"tls_starttls {'on' if order.tls == STLS else 'off'}",
        f"tls_trust_file {order.site.authority}",
        "tls_host_override localhost",
        f"keep {'on' if order.keep else 'off'}",
        f"uidls_file {order.directory}/uidls",
        f"delivery maildir {inbox}",
        "received_header off",
    )
    _run(["mpop", "-C", rules, "--quiet"], order.directory)
    return read_maildir(inbox)


def getmail(order: Order) -> list[bytes]:
    """Delivers into a Maildir of its own, with a header in front; it has no STLS."""
    inbox = _inbox(order.directory)
    ssl = order.tls == IMPLICIT
    _config(
        order.directory / "getmailrc",
        "[retriever]",
        f"type = SimplePOP3{'SSL' * ssl}Retriever",
        "server = localhost" if ssl else f"server = {HOST}",
        f"port = {order.port}",
        f"username = {order.user}",
        f"password = {order.password}",
        *((f"ca_certs = {order.site.authority}",) if ssl else ()),
        "[destination]",
        "type = Maildir",
        f"path = {inbox}/",
        "[options]",
        "verbose = 0",
        "received = false",
        "delivered_to = false",
        "read_all = false",
        f"delete = {'false' if order.keep else 'true'}",
    )
    _run(["getmail", f"--getmaildir={order.directory}"], order.directory)
    return [one.removeprefix(b"Return-Path: <unknown>\n") for one in read_maildir(inbox)]


PEERS: Final = (
    Peer("curl", curl, program="curl", transmitted=True, faithful=True),
    Peer("poplib", poplib_client, transmitted=True),
    Peer("openssl", s_client, (STLS, IMPLICIT), "openssl", transmitted=True, faithful=True),
    Peer("fetchmail", fetchmail, program="fetchmail"),
    Peer("mpop", mpop, program="mpop"),
    Peer("getmail", getmail, (OFF, IMPLICIT), program="getmail"),
)
