"""The program in an environment that other accounts can use.

Tests that run as root start the server as nobody too. Where root's Python or the checkout lie in a
directory that is closed to others, what the server needs is copied, with Debian's Python to run it.
"""

from __future__ import annotations

import atexit
import functools
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
OWN = ROOT / ".venv" / "bin"
NOBODY: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []}


@functools.cache
def programs_for_everybody() -> Path:
    """The directory of ``python`` and ``preforkpop`` for whoever is not root."""
    if _nobody_can_run(OWN / "preforkpop", "--version"):
        return OWN
    return _copy() / "bin"


def scripts_for_everybody() -> Path:
    """The directory ``scripts`` of the same environment."""
    programs = programs_for_everybody()
    return ROOT / "scripts" if programs == OWN else programs.parent / "scripts"


def _nobody_can_run(program: Path, *words: str) -> bool:
    try:
        done = subprocess.run(
            [program, *words], capture_output=True, check=False, cwd="/", timeout=60, **NOBODY
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _copy() -> Path:
    """A copy of program and libraries; removed when the tests end."""
    directory = Path(tempfile.mkdtemp(prefix="preforkpop-test-environment-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    directory.chmod(0o755)
    subprocess.run([_python(), "-m", "venv", "--without-pip", directory], check=True)
    site = directory / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    for name in _distributions():
        for source, place in _files(name):
            target = site / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    shutil.copytree(ROOT / "preforkpop", site / "preforkpop")
    for information in Path(sysconfig.get_path("purelib")).glob("preforkpop-*.dist-info"):
        shutil.copytree(information, site / information.name)
    shutil.copytree(ROOT / "scripts", directory / "scripts")
    program = directory / "bin" / "preforkpop"
    text = (OWN / "preforkpop").read_text().partition("\n")[2]
    program.write_text(f"#!{directory}/bin/python3\n{text}")
    program.chmod(0o755)
    assert _nobody_can_run(program, "--version"), f"nobody cannot run {program}"
    return directory


def _python() -> str:
    """A Python that nobody can run and the libraries, which are compiled, can be used with."""
    minor = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]!r})"
    for candidate in (sys.base_prefix + "/bin/python3", "/usr/bin/python3"):
        if Path(candidate).exists() and _nobody_can_run(Path(candidate), "-c", minor):
            return candidate
    raise AssertionError(f"there is no Python {sys.version_info.minor} that nobody can run")


def _distributions() -> Iterator[str]:
    lock = (ROOT / "requirements.lock").read_text()
    yield from re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)


def _files(name: str) -> Iterator[tuple[Path, Path]]:
    """Each file of a distribution and its place among the libraries."""
    for file in distribution(name).files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            yield Path(str(file.locate())), Path(*file.parts)
