"""On what a run was taken."""

from __future__ import annotations

import os
import platform
import ssl
from pathlib import Path

from compare.server import Server, first_line


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def memory_megabytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000


def system_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def describe(kinds: dict[str, type[Server]]) -> dict[str, object]:
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_MB": memory_megabytes(),
        "system": system_name(),
        "kernel": platform.release(),
        "openssl": ssl.OPENSSL_VERSION,
        "compiler": first_line("cc", "--version"),
        "load_average_before": os.getloadavg(),
        "servers": {name: kind.version() for name, kind in kinds.items()},
    }
