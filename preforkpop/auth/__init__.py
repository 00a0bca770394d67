"""PROCESS auth: is this client who it says, and whose mail is it.

Runs as root when the server was started as root, as PAM and the secrets need it; reads fixed,
bounded messages and never the network. ``verify`` asks the ``backends`` and makes an account.
"""
