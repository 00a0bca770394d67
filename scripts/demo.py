"""Serves a demo maildrop: made anew in a temporary directory, thrown away at the end.

Run by ``scripts/run`` as an ordinary user or as root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from demo_mail import mailbox

ADDRESS, POP3, POP3S = "127.0.0.1", 1110, 1995
CONFIGURATION = """\
[service]
users = "virtual"
mail_user = "{mail_user}"
login_user = "nobody"
run_dir = "{directory}/run"
state_dir = "{directory}/state"

[[listeners]]
address = "{address}:{pop3}"
tls = "stls"

[[listeners]]
address = "{address}:{pop3s}"
tls = "implicit"

[tls]
certificate = "{directory}/server.pem"

[pool]
start_workers = 2
minimum_spare = 1
maximum_spare = 4
maximum_workers = 20

[authentication]
clear_text_password = "local"

[[authentication.sources]]
type = "passwd-file"
path = "{directory}/users"

[maildrop]
path = "{directory}/mail/{{user}}"

[logging]
target = "stderr"
"""
WELCOME = """\
A demo maildrop of {count} messages is served: user demo, password demo. Try, in another terminal:

    curl -u demo:demo pop3://{address}:{pop3}/
    curl -u demo:demo pop3://{address}:{pop3}/1
    curl -k -u demo:demo pop3s://{address}:{pop3s}/2
    openssl s_client -quiet -starttls pop3 -connect {address}:{pop3}
    {preforkpop} status --config {directory}/preforkpop.toml

Ctrl-C stops it. The log of the server:
"""


def certificate() -> bytes:
    """A self-signed certificate for localhost and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM) + secret


def prepare(directory: Path) -> int:
    """Make mail, users, certificate and configuration; the number of messages."""
    root = os.geteuid() == 0
    octets, count = mailbox()
    mail = directory / "mail"
    mail.mkdir()
    (mail / "demo").write_bytes(octets)
    if root:
        for path in (mail, mail / "demo"):
            shutil.chown(path, "nobody", "nogroup")
        directory.chmod(0o755)
    (mail / "demo").chmod(0o600)
    (directory / "server.pem").write_bytes(certificate())
    (directory / "users").write_text("demo:{PLAIN}demo\n")
    for secret in ("server.pem", "users"):
        (directory / secret).chmod(0o600)
    (directory / "preforkpop.toml").write_text(
        CONFIGURATION.format(
            directory=directory,
            mail_user="nobody" if root else "",
            address=ADDRESS,
            pop3=POP3,
            pop3s=POP3S,
        )
    )
    return count


def main() -> int:
    """Serve until a signal; the directory is removed in any case."""
    preforkpop = str(Path(sys.executable).parent / "preforkpop")
    with tempfile.TemporaryDirectory(prefix="preforkpop-demo-") as name:
        directory = Path(name)
        count = prepare(directory)
        print(
            WELCOME.format(
                count=count,
                address=ADDRESS,
                pop3=POP3,
                pop3s=POP3S,
                directory=directory,
                preforkpop=preforkpop,
            ),
            flush=True,
        )
        server = subprocess.Popen(
            [preforkpop, "serve", "--config", str(directory / "preforkpop.toml")]
        )
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server itself
        signal.signal(signal.SIGTERM, lambda *_: server.send_signal(signal.SIGINT))
        return server.wait()


if __name__ == "__main__":
    sys.exit(main())
