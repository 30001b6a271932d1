"""A port for a server that must be told it beforehand."""

import errno
import random
import socket

# Below the ports that the system gives to outgoing connections: none of those can take it before
# its server does.
_PORTS = range(20_000, 32_000)


def free_port():
    """One that nobody listens on; two callers rarely draw the same."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            return port
    raise AssertionError("no free port among a hundred")
