"""Files that are read, and files that cannot be: one fault of one line each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from preforkpop.config.document import MAXIMUM_OCTETS, Document, key_text, open_document
from preforkpop.config.faults import ConfigError, Fault


def fault_of(path: Path | str) -> Fault:
    with pytest.raises(ConfigError) as caught:
        open_document(str(path))
    (fault,) = caught.value.faults
    assert "\n" not in str(fault)
    return fault


def fault_in(tmp_path: Path, octets: bytes) -> Fault:
    path = tmp_path / "c.toml"
    path.write_bytes(octets)
    return fault_of(path)


def test_a_file_is_read_with_the_line_of_each_key(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[pool]\nstart_workers = 3\n")
    document = open_document(str(path))
    assert document.table == {"pool": {"start_workers": 3}}
    assert document.lines["pool", "start_workers"] == 2
    assert document.given("pool.start_workers")
    assert not document.given("pool.minimum_spare")


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xef\xbb\xbf[pool]\r\n")
    assert open_document(str(path)).lines == {("pool",): 1}


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    assert str(fault_of(path)) == f"{path}: cannot be read: No such file or directory"


def test_a_directory(tmp_path: Path) -> None:
    assert str(fault_of(tmp_path)) == f"{tmp_path}: cannot be read: Is a directory"


def test_a_name_that_no_file_can_have() -> None:
    assert str(fault_of("a\0b")) == '"a\\u0000b": is no name of a file'


def test_octets_that_are_not_utf_8(tmp_path: Path) -> None:
    fault = fault_in(tmp_path, b"# ok\n\n# caf\xe9\n[pool]\n")
    assert fault.line == 3
    assert "UTF-8" in fault.problem


def test_a_file_that_is_far_too_long(tmp_path: Path) -> None:
    assert "is longer than" in fault_in(tmp_path, b"#" * (MAXIMUM_OCTETS + 1)).problem


def test_a_device_without_an_end() -> None:
    assert "is longer than" in fault_of("/dev/zero").problem


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[pool]\nstart_workers =\n", 2),
        ("[pool]\nstart_workers 3\n", 2),
        ("[pool\n", 1),
        ("\n[pool]\n[pool]\n", 3),
        ("[pool]\nstart_workers = 3\nstart_workers = 4\n", 3),
        ('a = "\n"\n', 1),
        ("a = 1\nb = 'x", 2),
        ('a = """\n\n', 2),
        ("a = 1\0\n", 1),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    fault = fault_in(tmp_path, text.encode())
    assert fault.line == line
    assert fault.problem.startswith("is no TOML: ")


def test_lists_in_lists_without_end(tmp_path: Path) -> None:
    assert "nested too deeply" in fault_in(tmp_path, b"a = " + b"[" * 100000).problem


def test_a_number_of_thousands_of_digits(tmp_path: Path) -> None:
    assert "is no TOML" in fault_in(tmp_path, b"a = " + b"9" * 5000).problem


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        path = Path("/proc/self/mem")  # root may open it, and reading fails
        assert "cannot be read" in fault_of(path).problem
        return
    path = tmp_path / "c.toml"
    path.touch(0)
    assert str(fault_of(path)) == f"{path}: cannot be read: Permission denied"


# -- where a fault is told ------------------------------------------------------------------


def test_a_fault_is_told_at_the_first_place_that_the_file_has() -> None:
    document = Document("f", {}, {("pool",): 1, ("pool", "b"): 3})
    fault = document.fault([("pool", "a"), ("pool", "b")], "is odd")
    assert str(fault) == "f:3: pool.b: is odd"


def test_a_key_that_the_file_lacks_is_told_at_its_section() -> None:
    document = Document("f", {}, {("pool",): 7})
    assert str(document.fault([("pool", "a")], "is odd")) == "f:7: pool.a: is odd"
    assert str(document.fault([("tls", "a")], "is odd")) == "f: tls.a: is odd"


def test_a_fault_without_a_file() -> None:
    fault = Document().fault([("tls", "a")], "is odd", warning=True)
    assert str(fault) == "(defaults): warning: tls.a: is odd"


def test_numbers_of_items_are_left_to_the_line_and_strange_names_are_quoted() -> None:
    assert key_text(("listeners", 2, "address")) == "listeners.address"
    assert key_text(("a.b", "c\nd")) == '"a.b"."c\\nd"'
