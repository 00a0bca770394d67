"""The demo's messages: one of each kind that has troubled a POP3 server."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTPUTF8
from email.utils import format_datetime

FIRST = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
SENDER = "postmaster@example.org"


def plain(subject: str, body: str, sender: str = SENDER) -> EmailMessage:
    """A message of one text."""
    message = EmailMessage(policy=SMTPUTF8.clone(linesep="\n"))
    message["From"] = sender
    message["To"] = "demo@example.org"
    message["Subject"] = subject
    message.set_content(body, cte="8bit")
    return message


def attached(subject: str, *parts: tuple[str, str, int]) -> EmailMessage:
    """A message with attachments of random octets: (name, type, octets) each."""
    message = plain(subject, "See the attachments.\n")
    octets = random.Random(subject)
    for name, kind, size in parts:
        main, _, sub = kind.partition("/")
        message.add_attachment(octets.randbytes(size), maintype=main, subtype=sub, filename=name)
    return message


def html(subject: str) -> EmailMessage:
    """A text and the same as HTML."""
    message = plain(subject, "Hello, plainly.\n")
    message.add_alternative("<p>Hello, <em>richly</em>.</p>\n", subtype="html")
    return message


def messages() -> list[bytes]:
    """The messages as a delivery agent gets them, lines ending LF."""
    made = [
        plain("Welcome", "This maildrop is served by preforkpop.\n"),
        plain("Lines that begin with dots", ".\n..\n.hidden? no.\n...and so on\n.\n"),
        plain(
            "From a body", "A paragraph.\n\nFrom here on the next one begins like a separator.\n"
        ),
        plain("Grüße: 8-bit", "Süße Öle, naïve cafés, 日本語.\n", "Jürgen <j@example.org>"),
        attached("A picture", ("picture.png", "image/png", 20_000)),
        attached("Two of them", ("a.pdf", "application/pdf", 90_000), ("b.bin", "a/b", 300)),
        html("Two alternatives"),
        plain("A very long line", "x" * 20_000 + "\n"),
        plain("No body", ""),
        attached("A large one", ("large.bin", "application/octet-stream", 700_000)),
        plain("Twins", "Two messages with the same content have unique-ids of their own.\n"),
        plain("Twins", "Two messages with the same content have unique-ids of their own.\n"),
        plain("Blanks at the end", "one \ntwo\t\n\n\n\n"),
    ]
    dated = []
    for number, message in enumerate(made):
        twin = number - (message["Subject"] == "Twins" and made[number - 1]["Subject"] == "Twins")
        message["Date"] = format_datetime(FIRST + timedelta(hours=twin))
        message["Message-ID"] = f"<{twin}.demo@example.org>"
        dated.append(message.as_bytes())
    encoded = base64.b64encode(b"the end").decode()
    dated.append(
        f"From: {SENDER}\nSubject: No newline at the end of the spool\n\n{encoded}".encode()
    )
    return dated


def mailbox() -> tuple[bytes, int]:
    """An mbox of all messages, whose last one has no final newline, and how many there are."""
    made = messages()
    pieces = []
    for number, message in enumerate(made):
        when = (FIRST + timedelta(hours=number)).strftime("%a %b %e %H:%M:%S %Y")
        quoted = message.replace(b"\nFrom ", b"\n>From ")
        pieces.append(f"From {SENDER} {when}\n".encode() + quoted)
    return b"\n".join(pieces), len(made)
