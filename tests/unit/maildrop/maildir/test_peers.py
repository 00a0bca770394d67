"""Maildirs that real delivery agents write to while they are served."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.maildrop.maildir.conftest import Box, contents, ids, transmitted

pytestmark = pytest.mark.peer("procmail", "maildrop")

MESSAGES = [
    b"Subject: plain\n\nbody\n",
    b"Subject: dots\n\n.\n..\n.body\n",
    b"Subject: From\n\nFrom you\nFrom Mon Nov 24 21:51:00 2025\n",
    b"Subject: 8-bit \xe4\n\n\xff\x80\n",
    b"Subject: no line end\n\nlast",
    b"Subject: large\n\n" + b"x" * 70 * 5000 + b"\n",
]


def deliver(program: str, box: Box, message: bytes, directory: Path) -> None:
    if program == "procmail":
        command = ["procmail", "-m", f"DEFAULT={box.path}/", "SHELL=/bin/sh", "/dev/null"]
    else:
        recipe = directory / "mailfilter"
        recipe.write_text(f'to "{box.path}"\n')
        recipe.chmod(0o600)
        command = ["maildrop", str(recipe)]
    subprocess.run(command, input=message, check=True, capture_output=True)


@pytest.mark.parametrize("program", ["procmail", "maildrop"])
def test_what_a_delivery_agent_writes_is_served_octet_for_octet(
    box: Box, tmp_path: Path, program: str
) -> None:
    for message in MESSAGES[:3]:
        deliver(program, box, message, tmp_path)
    maildrop = box.open()
    assert sorted(contents(maildrop)) == sorted(MESSAGES[:3])
    before = ids(maildrop)
    for message in MESSAGES[3:]:
        deliver(program, box, message, tmp_path)
    maildrop.update(frozenset({1}))
    maildrop = box.open()
    assert maildrop.count == 5
    written = [(box.path / name).read_bytes() for name in box.files()]
    assert sorted(contents(maildrop)) == sorted(written)
    assert {each.rstrip() for each in written} < {each.rstrip() for each in MESSAGES}
    assert [each for each in ids(maildrop) if each in before] == before[1:]
    sizes = [int(line.split()[1]) for line in maildrop.scan_listings().splitlines()]
    assert sizes == [transmitted(each) for each in contents(maildrop)]
    assert sum(sizes) == maildrop.octets
