"""When a password may be sent in the clear: Qpopper's words. Pure.

Run by the auth process, which holds to it whatever a login process let through.
"""

from __future__ import annotations

from preforkpop.system.addresses import is_loopback


def clear_text_allowed(word: str, tls: bool, client: str) -> bool:
    """Whether USER with PASS and PLAIN may be used on a connection.

    "always" and "default" wherever it comes from, "local" from the loopback, "tls" under TLS,
    "never" not even there. Under TLS nothing is in the clear, so every word but "never" allows it;
    Qpopper refused "local" under TLS from elsewhere. A word that is not known allows nothing.
    """
    match word:
        case "always" | "default":
            return True
        case "local":
            return tls or is_loopback(client)
        case "tls":
            return tls
        case _:
            return False


def stronger_required(word: str, tls: bool, has_apop_secret: bool) -> bool:
    """Whether a user must use APOP although passwords may be sent: what "default" means.

    Qpopper refused a password from whoever had a secret in its APOP database, to move clients away
    from sending it; under TLS there is nothing to move away from.
    """
    return word == "default" and has_apop_secret and not tls
