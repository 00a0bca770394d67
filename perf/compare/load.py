"""Runs popbench against a server and takes what the server used meanwhile."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compare.server import Server, ServerError

PERF = Path(__file__).resolve().parents[1]
POPBENCH = PERF / "bin/popbench"


class LoadError(Exception):
    """A server that gave wrong answers: its speed means nothing."""


@dataclass(frozen=True)
class Sample:
    """One run of popbench."""

    sessions_per_second: float
    megabytes_per_second: float
    cpu_milliseconds: float  # of the server, for each session
    session_milliseconds: float  # median; 0 when none ended within the measured time
    generator_share: float  # of one core
    tls: str

    def as_dict(self) -> dict[str, float | str]:
        return asdict(self)


def build() -> None:
    subprocess.run(["make", "-s", "-C", PERF / "popbench"], check=True)


def command(server: Server, scenario: str, *options: object, tls: bool = False) -> list[str]:
    words = [POPBENCH, "--json", "--users", server.logins, "--scenario", scenario]
    words += ["--port", server.tls_port, "--tls"] if tls else ["--port", server.port]
    return [str(word) for word in [*words, *options]]


def popbench(server: Server, scenario: str, *options: object, tls: bool = False) -> dict[str, Any]:
    """Run popbench and return its result; LoadError if any reply was wrong."""
    words = command(server, scenario, *options, tls=tls)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return result(server, done.stdout, done.stderr)


def result(server: Server, output: str, errors: str) -> dict[str, Any]:
    if not output.startswith("{"):
        raise LoadError(f"{server.name}: popbench: {errors or output}")
    found: dict[str, Any] = json.loads(output)
    if found["errors_total"]:
        raise LoadError(f"{server.name}: {found['errors']}\n{server.last_words()}")
    return found


def sample(server: Server, scenario: str, seconds: float, clients: int, *, tls: bool) -> Sample:
    """Measure for so long, after a sixth of that to warm up."""
    warm_up = seconds / 6
    before = server.cpu()
    found = popbench(
        server, scenario, "--clients", clients, "--seconds", seconds, "--warm-up", warm_up, tls=tls
    )
    used = server.cpu() - before
    if not found["sessions_all"]:
        raise ServerError(f"{server.name}: not one session in {seconds} s")
    return Sample(
        found["sessions_per_second"],
        found["megabytes_per_second"],
        used / found["sessions_all"] * 1000,
        found["latency_ms"].get("session", {"p50": 0.0})["p50"],
        found["generator_cpu_seconds"] / (found["seconds"] + warm_up),
        found["tls"],
    )


@contextmanager
def held(server: Server, scenario: str, clients: int, *, tls: bool = False) -> Iterator[None]:
    """Hold so many connections open meanwhile."""
    words = command(server, scenario, "--clients", clients, "--seconds", 60, tls=tls)
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        line = process.stdout.readline()
        if line != f"held {clients}\n":
            output, errors = process.communicate(timeout=60)
            result(server, output, errors)
            raise LoadError(f"{server.name}: wanted {clients} connections: {line}")
        yield
        result(server, *process.communicate(timeout=60))
    finally:
        process.kill()
        process.wait()
