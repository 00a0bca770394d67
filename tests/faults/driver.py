"""One session that removes messages, for a tracer to break: SPOOL STATE WINDOW NUMBER...

Run as a program of its own. It says "begin" when everything is imported, "opened", and in the end
"done" or "failed: CODE detail"; the tracer sees these writes too and counts from the first.
"""

from __future__ import annotations

import os
import sys


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def main() -> None:
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    from preforkpop.maildrop.base import MaildropError, Place
    from preforkpop.maildrop.mbox import journal
    from preforkpop.maildrop.open import open_maildrop, prepare

    path, state, window, *numbers = sys.argv[1:]
    journal.WINDOW = int(window)
    prepare("mbox")
    say("begin")
    try:
        maildrop = open_maildrop(Place("mbox", path, state, os.geteuid(), lock_timeout=0))
        say("opened")
        try:
            maildrop.update(frozenset(map(int, numbers)))
        finally:
            maildrop.close()
        say("done")
    except MaildropError as error:
        say(f"failed: {error.code} {error.detail}")


main()
