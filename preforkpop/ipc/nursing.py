"""What the nursery is told when it begins: everything, as it is a program of its own. Pure.

    Nursing    master -> nursery   the descriptors it names, inherited   trusted

Packed by the master, read by the nursery from a pipe.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from preforkpop.ipc.channel import MessageError
from preforkpop.master.settings import Pool
from preforkpop.worker.settings import Maildrop


@dataclass(frozen=True, slots=True)
class Nursing:
    """The workers of one generation."""

    board: int  # descriptor of the scoreboard's memory
    slots: int  # of the whole scoreboard
    slot: int  # the nursery's own
    first_slot: int  # of the workers'
    count: int
    grants: int  # where sessions come from
    asks: int  # the other end of it: asks an idle worker to leave
    log: int
    stacks: int
    lifeline: int  # ended: no more workers are wanted
    pool: Pool
    maildrop: Maildrop
    state_dir: str
    mechanisms: tuple[str, ...]
    system: bool  # system users: the nursery stays root, and workers become who logs in
    mail: tuple[int, int]  # virtual users: whom the nursery becomes
    groups: tuple[int, ...]  # which let workers create dot-locks
    statistics: bool
    level: int
    version: str

    def pack(self) -> bytes:
        """The message as octets."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpack(cls, message: bytes) -> Nursing:
        """The message from octets; MessageError when it is none."""
        try:
            found: dict[str, Any] = json.loads(message)
            for name, section in (("pool", Pool), ("maildrop", Maildrop)):
                found[name] = section(**_tuples(found[name]))
            return cls(**_tuples(found))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MessageError("nursing that cannot be read") from error

    def descriptors(self) -> tuple[int, ...]:
        """Those that have to be inherited."""
        return (
            self.board,
            self.grants,
            self.asks,
            self.log,
            self.stacks,
            self.lifeline,
        )


def _tuples(found: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples."""
    return {name: tuple(one) if isinstance(one, list) else one for name, one in found.items()}
