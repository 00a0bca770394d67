"""PROCESS auth: verifies credentials and hands the session to a worker.

Several of these run as root (when the server was started as root), because PAM and the secrets need
it. They read fixed, bounded messages from login processes and nothing from the network. An auth
process alone holds the sending end of the workers' queue, so who a session belongs to can come from
nowhere else. It may block: others go on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from socket import socket

from preforkpop.auth.verify import Account, Credentials, Refusal, Verifier
from preforkpop.ipc import channel
from preforkpop.ipc.messages import Attempt, Grant, Verdict
from preforkpop.ipc.scoreboard import Slot
from preforkpop.system import process
from preforkpop.system.log import Log, escape

BUSY = Refusal("SYS/TEMP", "All workers are busy, try again later")


class Auth:
    """The loop: an attempt in, a grant or a verdict out."""

    def __init__(
        self,
        attempts: socket,
        grants: socket,
        verdicts: Mapping[int, socket],
        verifier: Verifier,
        slot: Slot,
        log: Log,
    ) -> None:
        self._attempts = attempts
        self._grants = grants
        self._verdicts = verdicts
        self._verifier = verifier
        self._slot = slot
        self._log = log
        self._granted = 0
        self._refused = 0

    def run(self) -> int:
        """Serve until no login process is left."""
        while self.serve_one():
            pass
        return process.EXIT_OK

    def serve_one(self) -> bool:
        """Answer the next attempt; False when no login process is left to make one."""
        try:
            got = channel.receive(self._attempts, 2)
            if got is None:
                return False
            message, descriptors = got
            try:
                self._answer(Attempt.unpack(message), descriptors)
            finally:
                channel.close_all(descriptors)
        except channel.MessageError as error:
            self._log.error(f"a login process sent {error}")
        return True

    def _answer(self, attempt: Attempt, descriptors: channel.Descriptors) -> None:
        if time.monotonic() > attempt.deadline:
            return
        client = attempt.client
        result = self._verifier.verify(
            Credentials(
                mechanism=attempt.mechanism,
                user=attempt.user,
                authzid=attempt.authzid,
                secret=attempt.secret,
                stamp=client.stamp,
                client=client.peer,
                tls=client.tls,
            )
        )
        if isinstance(result, Account):
            try:
                self._grant(attempt, result, descriptors)
            except BlockingIOError:
                self._log.warning(
                    "no worker is free and their queue is full: raise pool.maximum_workers"
                )
                result = BUSY
        if isinstance(result, Refusal):
            self._refuse(attempt, result, descriptors)

    def _grant(self, attempt: Attempt, account: Account, descriptors: channel.Descriptors) -> None:
        client = attempt.client
        grant = Grant(
            tls=client.tls,
            passwords=self._verifier.passwords_welcome(tls=client.tls, client=client.peer),
            port=client.port,
            accepted=client.accepted,
            deadline=attempt.deadline,
            uid=account.uid,
            gid=account.gid,
            groups=account.groups,
            user=account.user,
            home=account.home,
            path=account.path,
            peer=client.peer,
            mechanism=attempt.mechanism,
            rest=attempt.rest,
        )
        channel.send(self._grants, grant.pack(), descriptors, wait=False)
        self._granted += 1
        self._slot.sessions(self._granted)

    def _refuse(self, attempt: Attempt, refusal: Refusal, descriptors: channel.Descriptors) -> None:
        client = attempt.client
        name = escape(attempt.user, 64)
        if refusal.code == "AUTH":
            why = f": {refusal.detail}" if refusal.detail else ""
            self._log.notice(
                f"[AUTH] Failed attempted login to {name}"
                f" from host ({client.peer}) {client.peer}{why}"
            )
        elif refusal.detail:
            self._log.error(refusal.detail)
        self._refused += 1
        self._slot.failures(self._refused)
        verdict = Verdict(client, refusal.code, refusal.text, attempt.user, attempt.rest)
        answers = self._verdicts.get(attempt.slot)
        if answers is None:
            raise channel.MessageError(f"an attempt from slot {attempt.slot}, which is no login's")
        try:
            channel.send(answers, verdict.pack(), descriptors, wait=False)
        except OSError as error:
            self._log.warning(f"a refused client was dropped: {error.strerror}")
