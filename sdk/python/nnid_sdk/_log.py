"""Log lines as the host reads them: JSON objects on standard error."""
import datetime
import json
import logging
import os
import sys

# The host's levels (hclog's) have a name for less than debug; Python's have one for more than error.
LEVELS = {"trace": 5, "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}

logger = logging.getLogger("nnid")
"""Its lines reach the host, under the plugin's name and at the host's level."""


class _Formatter(logging.Formatter):
    def format(self, record):
        level = next(name for name, number in reversed(LEVELS.items()) if record.levelno >= number or name == "trace")
        line = {
            "@level": level, "@message": record.getMessage(),
            "@timestamp": datetime.datetime.now().astimezone().isoformat(timespec="microseconds"),
        }
        if record.name not in ("nnid", "root"):
            line["@module"] = record.name
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return json.dumps(line)


def start():
    """Sends what is logged, by libraries too, to the host. Only a plugin process does that."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS.get(os.environ.get("NNID_LOG_LEVEL", "info").lower(), logging.INFO))
