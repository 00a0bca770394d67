"""POP3 without I/O: octets in, replies and requests out. Imports nothing else of the package.

Run by a login process (AUTHORIZATION state, no privilege) and by a worker (TRANSACTION and UPDATE
states, as the mailbox's user); by inetd mode in one process.
"""
