"""The frame of the command line: which command runs, what is imported, how it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from preforkpop.cli import main as frame
from preforkpop.cli.command import CommandError
from preforkpop.config.faults import ConfigError, Fault

Run = Callable[[Any], int]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Puts a function in the place of the command ``status``."""

    def install(run: Run) -> None:
        def add_arguments(parser: Any) -> None:
            parser.add_argument("--number", type=int)

        module = SimpleNamespace(add_arguments=add_arguments, run=run)
        monkeypatch.setitem(sys.modules, "preforkpop.cli.status", module)

    return install


SCRIPT = "import sys; from preforkpop.cli.main import main; sys.exit(main())"


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


# -- which command --------------------------------------------------------------------------


def test_a_command_gets_its_arguments_and_gives_the_status(
    command: Callable[[Run], None],
) -> None:
    command(lambda arguments: int(arguments.number))
    assert frame.main(["status", "--number", "3"]) == 3


def test_the_words_of_the_command_line_are_taken_by_themselves(
    command: Callable[[Run], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    command(lambda _arguments: 0)
    monkeypatch.setattr(sys, "argv", ["preforkpop", "status"])
    assert frame.main() == 0


@pytest.mark.parametrize("words", [[], ["nothing"], ["stat"], ["--config", "x"], ["status", "-x"]])
def test_wrong_use_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        frame.main(words)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("usage: preforkpop")


@pytest.mark.parametrize("name", [one.name for one in frame.COMMANDS])
def test_every_command_has_help_and_takes_a_configuration(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["config", "check"] if name == "config" else [name]
    with pytest.raises(SystemExit) as caught:
        frame.main([*words, "--help"])
    assert caught.value.code == 0
    assert "--config FILE" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        frame.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("preforkpop 0.")


# -- what is imported -----------------------------------------------------------------------


def test_help_imports_no_command() -> None:
    done = python(
        "import sys\n"
        "from preforkpop.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(*sorted(name for name in sys.modules if name.startswith('preforkpop.cli.')))\n"
    )
    assert done.stdout.splitlines()[-1] == "preforkpop.cli.command preforkpop.cli.main"


def test_the_frame_and_the_reader_are_lean() -> None:
    done = python(
        "import sys\n"
        "import preforkpop.cli.main, preforkpop.config.reader\n"
        "preforkpop.config.reader.configure(preforkpop.config.reader.Document())\n"
        "print(*sys.modules)\n"
    )
    heavy = {"OpenSSL", "cryptography", "psutil", "dns", "asyncio", "argon2", "difflib"}
    assert done.returncode == 0
    assert not heavy.intersection(done.stdout.split())


# -- how it ends ----------------------------------------------------------------------------


def failing(error: BaseException) -> Run:
    def run(_arguments: Any) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (CommandError("no server runs"), 1, "preforkpop: no server runs\n"),
        (FileNotFoundError(2, "No such file", "/x"), 1, "preforkpop: /x: No such file\n"),
        (OSError("odd"), 1, "preforkpop: odd\n"),
        (
            ConfigError([Fault("c.toml", 3, "pool.x", "is odd"), Fault("c.toml", 0, "", "too")]),
            78,
            "c.toml:3: pool.x: is odd\nc.toml: too\n",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_failures_are_lines_and_a_status(
    error: BaseException,
    status: int,
    line: str,
    command: Callable[[Run], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    command(failing(error))
    assert frame.main(["status"]) == status
    printed = capsys.readouterr()
    assert printed.err == line
    assert printed.out == ""


def test_a_bug_is_not_hidden(command: Callable[[Run], None]) -> None:
    command(failing(ValueError("a bug")))
    with pytest.raises(ValueError, match="a bug"):
        frame.main(["status"])


def test_a_reader_that_has_gone_ends_a_command_quietly() -> None:
    code = (
        "import sys, types\n"
        "from preforkpop.cli.main import main\n"
        "def run(arguments):\n"
        "    sys.stdin.read()\n"
        "    print('x' * 100)\n"
        "    return 0\n"
        "module = types.SimpleNamespace(add_arguments=lambda parser: None, run=run)\n"
        "sys.modules['preforkpop.cli.status'] = module\n"
        "sys.exit(main(['status']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.close()
        assert process.wait() == 1
        assert process.stderr.read() == b""


def test_output_that_cannot_be_written_is_a_failure() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, "config", "show", "--defaults"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"preforkpop: No space left on device\n"


def test_without_a_standard_output_a_command_still_runs() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" config show --defaults >&-', sys.executable, SCRIPT],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == b""


def test_the_table_has_a_module_for_each_command() -> None:
    for command in frame.COMMANDS:
        module = __import__(f"preforkpop.cli.{command.name}", fromlist=["run"])
        assert isinstance(module, ModuleType)
        assert callable(module.run) and callable(module.add_arguments)
