"""preforkpop itself, with virtual users and with a uid for each user. All else is its default."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from compare.place import make_directory
from compare.server import SYSTEM_USERS, Server, first_line

CHECKOUT = Path(__file__).resolve().parents[2]

CONFIGURATION = """
[service]
users = "{users}"
mail_user = "{mail_user}"
login_user = "nobody"
run_dir = "{path}/run"
state_dir = "{path}/state"

[[listeners]]
address = "127.0.0.1:{port}"
tls = "stls"

[[listeners]]
address = "127.0.0.1:{tls_port}"
tls = "implicit"

[tls]
certificate = "{certificate}"

[authentication]
clear_text_password = "always"

[[authentication.sources]]
type = "passwd-file"
path = "{users_file}"

[maildrop]
format = "{form}"
path = "{mail}/{{user}}"

[dns]
reverse_lookup = false

[logging]
target = "{path}/log"
"""


def program(given: Path | None) -> Path:
    """The program that was named, else the checkout's, else the one that is installed."""
    own = CHECKOUT / ".venv/bin/preforkpop"
    found = shutil.which("preforkpop")
    return given or (Path(found) if found and not own.exists() else own)


class Preforkpop(Server):
    """Both kinds."""

    given: Path | None = None

    @classmethod
    def unavailable(cls) -> str:
        if not program(cls.given).exists():
            return "not installed: run scripts/run once, or name it with --preforkpop"
        return ""

    @classmethod
    def version(cls) -> str:
        commit = first_line("git", "-C", CHECKOUT, "describe", "--always", "--dirty")
        return f"{first_line(program(cls.given), '--version')} ({commit or 'not in git'})"

    def configure(self) -> None:
        make_directory(self.path / "run")
        make_directory(self.path / "state")
        text = CONFIGURATION.format(
            users="virtual" if self.virtual else "system",
            mail_user=self.mail_owner.pw_name if self.virtual and os.geteuid() == 0 else "",
            path=self.path,
            port=self.port,
            tls_port=self.tls_port,
            certificate=self.certificate,
            users_file=self.users_file,
            form=self.form,
            mail=self.mail_path,
        )
        (self.path / "preforkpop.toml").write_text(text)
        self.users_file.chmod(0o600)

    def command(self) -> list[str | Path]:
        return [program(self.given), "serve", "--config", self.path / "preforkpop.toml"]

    def index_directories(self) -> list[Path]:
        return [self.path / "state"]


class PreforkpopVirtual(Preforkpop):
    """All mail belongs to one account; a worker serves many sessions."""

    name = "preforkpop-virtual"


class PreforkpopSystem(Preforkpop):
    """A worker becomes the user, serves one session and ends."""

    name = "preforkpop-system"
    virtual = False
    users = SYSTEM_USERS

    @classmethod
    def unavailable(cls) -> str:
        return super().unavailable() or ("" if os.geteuid() == 0 else "needs root")
