"""Debian's Dovecot 2.3: as it comes, and tuned for speed by its own manual."""

from __future__ import annotations

import os
from pathlib import Path

from compare.server import SYSTEM_USERS, Server, first_line

PACKAGES = "apt-get install dovecot-pop3d"

COMMON = """
base_dir = {path}/run
state_dir = {path}/state
log_path = {path}/log
listen = 127.0.0.1
protocols = pop3
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{certificate}
ssl_dh = </usr/share/dovecot/dh.pem
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {users}
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {users}
}}
namespace inbox {{
  inbox = yes
}}
service pop3-login {{
  executable = {programs}/pop3-login
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = {tls_port}
    ssl = yes
  }}
}}
service pop3 {{
  executable = {programs}/pop3
}}
"""

# Debian's mail_location, with the directories of this run.
DEFAULT_MAIL = {
    "mbox": "mbox:~/mail:INBOX={mail}/%u",
    "maildir": "maildir:{mail}/%u",
}
DEFAULT = """
mail_location = {location}
mail_privileged_group = mail
"""

TUNED_MAIL = {
    "mbox": "mbox:~/mail:INBOX={mail}/%u:INDEX={path}/index/%u",
    "maildir": "maildir:{mail}/%u:INDEX={path}/index/%u:CONTROL={path}/index/%u",
}
# Processes that are used again, the authentication cache, no flag updates and very_dirty_syncs are
# advice of Dovecot's PerformanceTuning, LoginProcess, POP3Server and MailLocation pages. The other
# lines spare work that POP3 does not need, or lift limits; none was slower than its default here.
TUNED = """
mail_location = {location}
mail_uid = {uid}
mail_gid = {gid}
default_client_limit = 4096
auth_cache_size = 10M
pop3_no_flag_updates = yes
pop3_lock_session = no
mbox_very_dirty_syncs = yes
maildir_very_dirty_syncs = yes
mbox_write_locks = fcntl
stats_writer_socket_path =
mail_max_userip_connections = 0
service pop3-login {{
  service_count = 0
  process_min_avail = {cores}
  process_limit = {cores}
  vsz_limit = 1G
}}
service pop3 {{
  service_count = 0
  vsz_limit = 1G
}}
service anvil {{
  client_limit = 8192
}}
service auth {{
  client_limit = 8192
}}
"""


def programs(unpacked: Path | None) -> Path:
    """Where pop3 and pop3-login are: installed, or below a package that was unpacked."""
    below = Path("usr/lib/dovecot")
    return unpacked / below if unpacked and (unpacked / below / "pop3").exists() else "/" / below


class Dovecot(Server):
    """Both kinds."""

    unpacked: Path | None = None
    template = ""
    location: dict[str, str] = {}  # noqa: RUF012 - replaced, never changed

    @classmethod
    def unavailable(cls) -> str:
        if not Path("/usr/sbin/dovecot").exists() or not (programs(cls.unpacked) / "pop3").exists():
            return f"not installed: {PACKAGES}"
        return "" if os.geteuid() == 0 else "needs root"

    @classmethod
    def version(cls) -> str:
        return first_line("/usr/sbin/dovecot", "--version")

    def configure(self) -> None:
        (self.path / "state").mkdir()
        cores = os.cpu_count() or 1
        location = self.location[self.form].format(mail=self.mail_path, path=self.path)
        text = (COMMON + self.template).format(
            path=self.path,
            certificate=self.certificate,
            users=self.users_file,
            programs=programs(self.unpacked),
            port=self.port,
            tls_port=self.tls_port,
            location=location,
            uid=self.mail_owner.pw_uid,
            gid=self.mail_owner.pw_gid,
            cores=cores,
        )
        (self.path / "dovecot.conf").write_text(text)

    def command(self) -> list[str | Path]:
        return ["/usr/sbin/dovecot", "-F", "-c", self.path / "dovecot.conf"]


class DovecotDefault(Dovecot):
    """Debian's configuration: a new process for each connection, and another for each login."""

    name = "dovecot-default"
    virtual = False
    users = SYSTEM_USERS
    template = DEFAULT
    location = DEFAULT_MAIL

    def index_directories(self) -> list[Path]:
        return [account.home for account in self.accounts]


class DovecotTuned(Dovecot):
    """Virtual users, processes that are used again, nothing written that need not be."""

    name = "dovecot-tuned"
    template = TUNED
    location = TUNED_MAIL

    def configure(self) -> None:
        super().configure()
        index = self.path / "index"
        index.mkdir()
        os.chown(index, self.mail_owner.pw_uid, self.mail_owner.pw_gid)

    def index_directories(self) -> list[Path]:
        return [self.path / "index"]
