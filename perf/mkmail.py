#!/usr/bin/env python3
"""Make mailboxes for the benchmark: the same messages as mbox files and as Maildirs.

    OUT/mbox/USER                   body lines that begin with "From " are quoted with ">"
    OUT/maildir/USER/{cur,new,tmp}  and left alone here
    OUT/manifest.mbox               lines of "user number octets sha256": each message as RETR must
    OUT/manifest.maildir            send it, CRLF line ends, dots not stuffed
    OUT/users                       lines of "name:password"

Sizes are log-normal, as those of real mail are: half the messages are small, and the few large ones
make most of the octets. The messages of a user depend on the seed and the user's name alone.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TEXT = (
    "the of and to in is that for it was with be by on not he his but at are this have from or "
    "had an they which one you were all her she there would their we him been has when who will "
    "no more if out so up said what its about than into them can only other time new some could "
    "these two may first then do any like now over such our man me even most made after also "
    "did many must before back through years much where your way down should because long each "
    "just state people message mailbox account invoice meeting schedule release deadline "
    "regards thanks attached forward reply status update project review network queue delivery "
)
WORDS = TEXT.split()
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
PASSWORD = "x"
EPOCH = 1_700_000_000
SMALLEST = 400
LARGEST = 5_000_000


@dataclass(frozen=True)
class Shape:
    """How many mailboxes, and what is in one."""

    users: int = 200
    messages: int = 50
    median: int = 12_000
    mean: int = 60_000
    quirks: float = 0.05  # the probability of each peculiarity, for each message
    prefix: str = "user"
    seed: int = 1


GIANT = Shape(1, 50_000, median=8_000, mean=20_000, quirks=0.01, prefix="giant")


@dataclass(frozen=True)
class Message:
    """A message with LF line ends, before any format has touched it."""

    sender: str
    arrived: int
    text: bytes


class Material:
    """Long stretches of text and base64 that bodies are cut from: a gigabyte is made in seconds."""

    def __init__(self, seed: int, size: int = 3_000_000) -> None:
        rng = random.Random(seed)
        lines: list[str] = []
        while size > 0:
            lines.append(self._line(rng))
            size -= len(lines[-1]) + 1
        self.text = "\n".join(lines).encode() + b"\n"
        row = "".join(rng.choices(BASE64, k=len(self.text)))
        self.base64 = b"".join(row[i : i + 76].encode() + b"\n" for i in range(0, len(row), 76))

    @staticmethod
    def _line(rng: random.Random) -> str:
        if rng.random() < 0.08:
            return ""
        line = " ".join(rng.choices(WORDS, k=rng.randint(6, 13)))[: rng.randint(30, 78)].rstrip()
        return f"> {line}" if rng.random() < 0.12 else line

    @staticmethod
    def cut(pool: bytes, octets: int, rng: random.Random) -> bytes:
        """About so many octets of whole lines."""
        pieces = []
        while octets > 20:
            start = pool.find(b"\n", rng.randrange(len(pool) - 100)) + 1
            piece = pool[start : start + octets]
            piece = piece[: piece.rfind(b"\n") + 1] or piece.rstrip(b"\n") + b"\n"
            pieces.append(piece)
            octets -= len(piece)
        return b"".join(pieces)


# -- one message ----------------------------------------------------------------------------


def draw_size(shape: Shape, rng: random.Random) -> int:
    sigma = math.sqrt(2 * math.log(shape.mean / shape.median))
    return max(SMALLEST, min(int(rng.lognormvariate(math.log(shape.median), sigma)), LARGEST))


def date(when: int) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(when))


def headers(
    rng: random.Random, material: Material, user: str, sender: str, when: int, content: list[str]
) -> bytes:
    """Headers as they are after two relays and a local delivery."""
    domain = sender.partition("@")[2]
    signature = material.cut(material.base64, 320, rng).decode().split()
    lines = [
        f"Return-Path: <{sender}>",
        f"Delivered-To: {user}@mail.example",
        f"Received: from mx.example (mx.example [192.0.2.{rng.randint(1, 254)}])",
        f"\tby mail.example (Postfix) with ESMTPS id {rng.getrandbits(40):010X}",
        f"\tfor <{user}@mail.example>; {date(when)}",
        f"Received: by relay.example with SMTP id {rng.getrandbits(60):015x};",
        f"\t{date(when - 2)}",
        f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain};",
        *(f"\t{line}" for line in signature),
        f"From: {rng.choice(WORDS).title()} {rng.choice(WORDS).title()} <{sender}>",
        f"To: <{user}@mail.example>",
        f"Subject: {' '.join(rng.choices(WORDS, k=rng.randint(2, 9)))}",
        f"Date: {date(when - 5)}",
        f"Message-ID: <{rng.getrandbits(64):016x}@{domain}>",
        "MIME-Version: 1.0",
        *content,
    ]
    return ("\n".join(lines) + "\n\n").encode()


def peculiar(rng: random.Random, probability: float, text: bytes) -> bytes:
    """Text with what has broken servers before: dots, "From ", raw 8-bit octets, long lines."""
    if rng.random() < probability:
        text = b".\n..\n.leading dot\n...\n" + text + b".end of list\n.\n"
    if rng.random() < probability:
        text += (
            b"\nFrom the start of a line\n\nFrom someone@example Thu Jan  1 00:00:00 1998\nmore\n"
        )
    if rng.random() < probability:
        text += "café über 日本語\n".encode() + b"latin1: \xe9\xe8\xfc\xff \xa0\n"
    if rng.random() < probability:
        text += b"long:" + b"0123456789abcdef" * rng.randint(100, 6000) + b"\n"
    return text


def body(
    rng: random.Random, material: Material, size: int, quirks: float
) -> tuple[list[str], bytes]:
    """Return the headers that describe a body, and the body: plain, or with an attachment."""
    plain = ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
    if size <= 6000 or rng.random() >= 0.6:
        return plain, peculiar(rng, quirks, material.cut(material.text, size, rng))
    text = peculiar(rng, quirks, material.cut(material.text, min(size // 3, 4000), rng))
    boundary = f"=_{rng.getrandbits(80):020x}"
    before = f"--{boundary}\n" + "\n".join(plain) + "\n\n"
    between = (
        f'\n--{boundary}\nContent-Type: application/octet-stream; name="data.bin"\n'
        "Content-Transfer-Encoding: base64\n\n"
    )
    attachment = material.cut(material.base64, max(size - len(text) - 350, 80), rng)
    after = f"\n--{boundary}--\n"
    content = [f'Content-Type: multipart/mixed; boundary="{boundary}"']
    return content, before.encode() + text + between.encode() + attachment + after.encode()


def messages(shape: Shape, material: Material, user: str) -> Iterator[Message]:
    rng = random.Random(f"{shape.seed}/{user}")
    for number in range(shape.messages):
        when = EPOCH + number * 60
        size = draw_size(shape, rng)
        sender = f"{rng.choice(WORDS)}.{rng.choice(WORDS)}@{rng.choice(WORDS)}.example"
        content, text = body(rng, material, max(size - 1000, 40), shape.quirks)
        head = headers(rng, material, user, sender, when, content)
        yield Message(sender, when, head + text)


# -- the formats ----------------------------------------------------------------------------


def quoted(text: bytes) -> bytes:
    """What a delivery agent writes into an mbox."""
    return text.replace(b"\nFrom ", b"\n>From ")


def manifest_line(user: str, number: int, text: bytes) -> str:
    sent = text.replace(b"\n", b"\r\n")
    return f"{user} {number} {len(sent)} {hashlib.sha256(sent).hexdigest()}\n"


def make_mbox(out: Path, user: str, all_messages: list[Message]) -> str:
    """Write one mbox and return its part of the manifest."""
    manifest = ""
    with (out / user).open("wb") as mbox:
        for number, message in enumerate(all_messages, 1):
            text = quoted(message.text)
            when = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(message.arrived))
            mbox.write(f"From {message.sender} {when}\n".encode() + text + b"\n")
            manifest += manifest_line(user, number, text)
    return manifest


def make_maildir(out: Path, user: str, all_messages: list[Message]) -> str:
    """Write one Maildir and return its part of the manifest."""
    manifest = ""
    for folder in ("cur", "new", "tmp"):
        (out / user / folder).mkdir(parents=True, exist_ok=True)
    for number, message in enumerate(all_messages, 1):
        path = out / user / "new" / f"{message.arrived}.M{number:06d}P1Q{number}.mail.example"
        path.write_bytes(message.text)
        os.utime(path, (message.arrived, message.arrived))
        manifest += manifest_line(user, number, message.text)
    return manifest


MAKERS = {"mbox": make_mbox, "maildir": make_maildir}


def make(out: Path, shape: Shape, formats: tuple[str, ...] = tuple(MAKERS)) -> int:
    """Make all mailboxes below ``out``; return the octets of the messages in one format."""
    material = Material(shape.seed)
    octets = 0
    users = [f"{shape.prefix}{number:04d}" for number in range(shape.users)]
    for form in formats:
        (out / form).mkdir(parents=True, exist_ok=True)
    (out / "users").write_text("".join(f"{user}:{PASSWORD}\n" for user in users))
    manifests: dict[str, list[str]] = {form: [] for form in formats}
    for user in users:
        all_messages = list(messages(shape, material, user))
        octets += sum(len(message.text) for message in all_messages)
        for form in formats:
            manifests[form].append(MAKERS[form](out / form, user, all_messages))
    for form in formats:
        (out / f"manifest.{form}").write_text("".join(manifests[form]))
    return octets


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="directory; made if it is missing")
    parser.add_argument("--users", type=int, default=Shape.users)
    parser.add_argument("--messages", type=int, default=Shape.messages)
    parser.add_argument("--format", choices=MAKERS, action="append", help="both by default")
    parser.add_argument("--seed", type=int, default=Shape.seed)
    parser.add_argument("--giant", action="store_true", help="one user, 50,000 messages, 1 GB")
    chosen = parser.parse_args()
    shape = GIANT if chosen.giant else Shape(chosen.users, chosen.messages, seed=chosen.seed)
    octets = make(chosen.out, shape, tuple(chosen.format or MAKERS))
    total = shape.users * shape.messages
    print(f"{shape.users} users, {total} messages, {octets / 1e6:.1f} MB, mean {octets // total}")


if __name__ == "__main__":
    main()
