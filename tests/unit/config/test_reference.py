"""The sample file, the reference and the man page say what the declarations say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from preforkpop.config import reference
from preforkpop.config.declared import Form, declared
from preforkpop.config.settings import Settings
from tests.unit.config.helpers import read

ROOT = Path(__file__).parents[3]

MADE = {
    "init/preforkpop.toml": reference.sample,
    "docs/configuration.md": reference.markdown,
    "man/preforkpop.toml.5": reference.man_page,
}


@pytest.mark.parametrize("path", MADE)
def test_what_is_in_the_repository_is_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text() == MADE[path](), "run scripts/reference"


def test_the_sample_says_nothing_that_is_not_default() -> None:
    assert read(reference.sample()).settings == Settings()


def test_every_setting_of_the_sample_is_the_default() -> None:
    text = re.sub(r"^#(?=[a-z\[])", "", reference.sample(), flags=re.MULTILINE)
    names = re.search(r"^\[\[tls\.names\]\].*?(?=^\[pool\])", text, re.MULTILINE | re.DOTALL)
    assert names is not None  # an example, which needs a certificate
    configuration = read(text.replace(names[0], "\n"))
    assert configuration.settings == Settings()
    given = {place[-1] for place in configuration.document.lines}
    for section in declared(Settings).values():
        for key in declared(section.section).values():
            assert key.name in given or key.form is Form.TABLES, key.name


def test_the_example_of_a_name_can_be_used() -> None:
    example = reference.sample().partition("#[[tls.names]]")[2].partition("[pool]")[0]
    text = re.sub(r"^#(?=[a-z])", "", "[[tls.names]]" + example, flags=re.MULTILINE)
    settings = read('tls.certificate = "/etc/ssl/pop.pem"\n' + text).settings
    assert settings.tls.names[0].name == "pop.example.org"


@pytest.mark.parametrize("make", MADE.values())
def test_every_key_is_described(make: object) -> None:
    text = make()  # type: ignore[operator]
    for section in reference.sections():
        for key in section.keys:
            assert re.search(rf"{key.name}(?!\w)", text), key.name


def test_the_man_page_has_no_accidental_requests() -> None:
    for line in reference.man_page().splitlines():
        if line.startswith((".", "'")):
            assert re.match(r'\.(\\"|TH|SH|SS|PP|TP|I|BR)( |$)', line), line


def test_the_script_makes_the_three_files() -> None:
    script = (ROOT / "scripts" / "reference").read_text()
    for path in MADE:
        assert path in script
    subprocess.run(["sh", "-n", ROOT / "scripts" / "reference"], check=True)
