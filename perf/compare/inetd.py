#!/usr/bin/env python3
"""The smallest inetd: a process of PROGRAM for each connection, the socket as its standard input.

    inetd.py PORT PROGRAM [TARGET=SOURCE ...]

For servers that take their accounts, their mail and their port from the system alone. With sources,
each is mounted over its target first, in a mount namespace of this process and its children: nobody
else sees that.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys


def main() -> None:
    port, program, *mounts = sys.argv[1:]
    if mounts and os.environ.pop("UNSHARED", "") == "":
        os.environ["UNSHARED"] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    for mount in mounts:
        target, _, source = mount.partition("=")
        subprocess.run(["mount", "--bind", source, target], check=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    with socket.create_server(("127.0.0.1", int(port)), backlog=128) as listening:
        while True:
            client, _address = listening.accept()
            actions = [(os.POSIX_SPAWN_DUP2, client.fileno(), number) for number in range(3)]
            os.posix_spawn(program, [program], os.environ, file_actions=actions)
            client.close()


if __name__ == "__main__":
    main()
