"""Standard output of a plugin process is for one line, the handshake. This module takes it away from everybody else as
soon as it is imported, libraries in C included."""
import os
import sys

COOKIE = "NNID_PLUGIN_COOKIE"
COOKIE_VALUE = "nnid-58e6fd1f4c7b4c0fa8b6b3b5e4f27a35"

IN_PLUGIN_PROCESS = os.environ.get(COOKIE) == COOKIE_VALUE
"""Whether a host started this process."""

_handshake = None
if IN_PLUGIN_PROCESS:
    sys.stdout.flush()
    _handshake = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr


def shake_hands(line):
    """Writes the one line, and closes the real standard output."""
    global _handshake
    os.write(_handshake, (line + "\n").encode())
    os.close(_handshake)
    _handshake = None
