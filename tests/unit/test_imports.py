"""The import rules of preforkpop/README.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import preforkpop

PACKAGE = Path(preforkpop.__file__).parent
PROCESSES = {path.parent.name for path in PACKAGE.glob("*/main.py")} - {"cli"}
LIBRARIES = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - PROCESSES - {"cli"}
LIBRARIES.discard("__pycache__")

ALLOWED = {
    "pop3": set[str](),
    "system": set[str](),
    "tls": set[str](),
    "ipc": {"system"},
    "supervision": {"ipc", "system"},
    "maildrop": {"pop3", "system"},
    "config": {"system", "auth", "tls"},
    "listener": {"ipc", "system"},
    "login": {"ipc", "system", "pop3", "config", "tls"},
    "auth": {"ipc", "system", "config"},
    "worker": {"ipc", "system", "pop3", "maildrop"},
    "logger": {"ipc", "system"},
    "nursery": {"ipc", "system", "supervision", "maildrop", "worker"},
    "master": {"ipc", "system", "config", "supervision"},
    "inetd": {"ipc", "system", "config", "supervision", "maildrop", "master", "auth", "worker"},
}
AFTER_THE_FORK = {"births.py": {"listener", "login", "auth", "logger"}}
"""Imports within functions of master/births.py, which run in a child."""

FOREIGN = {
    "OpenSSL": {"tls", "login"},
    "psutil": {"master"},
    "setproctitle": {"system"},
    "daemon": {"cli"},
    "argon2": {"auth"},
    "ctypes": {"auth", "system"},
    "asyncio": set[str](),
    "subprocess": set[str](),
    "pickle": set[str](),
}


def modules() -> Iterator[tuple[str, Path]]:
    """Every module with the folder it belongs to."""
    for path in PACKAGE.rglob("*.py"):
        yield path.relative_to(PACKAGE).parts[0], path


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Names of imported modules, and whether the import stands at the top of the module."""
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, id(node) in top
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) in top
            if node.module == "preforkpop":
                for name in node.names:
                    yield f"preforkpop.{name.name}", id(node) in top


def type_checking_only(path: Path) -> set[str]:
    """Modules imported for type annotations alone."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            found |= {one.module for one in node.body if isinstance(one, ast.ImportFrom)}
    return {name for name in found if name}


def test_the_table_names_every_folder() -> None:
    assert set(ALLOWED) == PROCESSES | LIBRARIES


def test_each_folder_imports_only_what_the_map_allows() -> None:
    wrong = []
    for folder, path in modules():
        if folder not in ALLOWED:
            continue
        for name, top in imports(path):
            parts = name.split(".")
            if parts[0] != "preforkpop" or len(parts) < 2 or parts[1] == folder:
                continue
            allowed = ALLOWED[folder] | (set() if top else AFTER_THE_FORK.get(path.name, set()))
            settings = parts[-1] == "settings" or name in type_checking_only(path)
            settings |= path.name == "settings.py" and name == "preforkpop.config.option"
            if parts[1] not in allowed and not settings:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not wrong


def test_libraries_from_outside_stay_in_their_rooms() -> None:
    wrong = []
    for folder, path in modules():
        for name, _top in imports(path):
            rooms = FOREIGN.get(name.split(".")[0])
            if rooms is not None and folder not in rooms:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not wrong


def test_only_privileges_changes_ids_and_root() -> None:
    calls = ("setuid", "seteuid", "setresuid", "setreuid", "setgroups", "setresgid", "chroot")
    wrong = [
        f"{path.relative_to(PACKAGE)} calls os.{call}"
        for _folder, path in modules()
        for call in calls
        if f"os.{call}(" in path.read_text() and path.name != "privileges.py"
    ]
    assert not wrong


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(PACKAGE))
        for _folder, path in modules()
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_a_process_says_so_in_its_first_line() -> None:
    for process in PROCESSES:
        docstring = ast.get_docstring(ast.parse((PACKAGE / process / "main.py").read_text()))
        assert docstring and docstring.startswith(f"PROCESS {process}: ")
