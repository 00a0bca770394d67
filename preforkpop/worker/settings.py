"""What workers read: where mail is and how it is locked. Declarations only; imported by ``config``
and workers."""

from __future__ import annotations

from dataclasses import dataclass

from preforkpop.config.option import option

LOCKS = ("dotlock", "fcntl", "flock")


@dataclass(frozen=True, slots=True)
class Maildrop:
    """Section ``maildrop``."""

    format: str = option("mbox", '"mbox" or "maildir"', choices=("mbox", "maildir"))
    path: str = option(
        "/var/mail/{user}",
        "{user} {name} {domain} {home} {hash1} {hash2} are filled in; Maildir for example"
        ' "{home}/Maildir"',
    )
    locks: tuple[str, ...] = option(
        ("dotlock", "fcntl"), "locks on an mbox, taken in this order", minimum=1, choices=LOCKS
    )
    lock_timeout: float = option(
        30.0, "how long to wait for a lock", unit="seconds", minimum=0, maximum=600
    )
    mail_lock_check: int = option(
        500,
        "look at the clock every so many messages, and refresh the dot-lock when it is due",
        minimum=1,
        maximum=1000000,
    )
    update_status_headers: bool = option(
        False,
        "bring Status and X-UIDL headers up to date whenever the spool is rewritten anyway",
        available=False,
    )
    timeout: float = option(
        600.0,
        "a client that is silent for so long after login is dropped (RFC 1939: at least ten"
        " minutes)",
        unit="seconds",
        minimum=600,
        maximum=86400,
    )
    uidl: str = option(
        "native",
        "how a message without a recorded unique-id gets one",
        choices=("native",),
        planned=("qpopper", "qpopper-old", "dovecot", "courier", "uw", "cyrus", "popa3d"),
    )
    bulletins: str = option("", "directory of bulletins", available=False)
