"""A configuration that is right on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from preforkpop.config import machine


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lines of a configuration with which nothing is wrong on this machine."""
    monkeypatch.setattr(machine, "UNPRIVILEGED_PORTS", str(tmp_path / "ports"))
    (tmp_path / "ports").write_text("0\n")
    (tmp_path / "mail").mkdir()
    (tmp_path / "users").write_text("fred:{PLAIN}secret\n")
    return f"""
        maildrop.path = "{tmp_path}/mail/{{user}}"
        logging.target = "{tmp_path}/log"
        service.users = "virtual"
        service.mail_user = "mail"
        service.login_user = "nobody"
        service.run_dir = "{tmp_path}/run"
        service.state_dir = "{tmp_path}/state/deep/below"
        authentication.clear_text_password = "always"
        authentication.sources = [{{type = "passwd-file", path = "{tmp_path}/users"}}]
        listeners = [{{address = "127.0.0.1:110"}}]
        """
