"""Logs: one JSON object per line on stderr; never the content of an image, nor a token."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

_LONGEST = 300  # characters: a line of a log stays readable
LOGGER = logging.getLogger("residua.serving")


def log(event: str, **fields: Any) -> None:
    """Write one line."""
    LOGGER.info(event, extra={"fields": fields})


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None)
        line: dict[str, Any] = {"time": round(time.time(), 3), "level": record.levelname.lower()}
        line["event"] = record.getMessage()[:_LONGEST]
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = self.formatException(record.exc_info)[-2000:]
        for name, value in (fields or {}).items():
            line[name] = value[:_LONGEST] if isinstance(value, str) else value
        return json.dumps(line)


def start_logs(quiet: bool = False) -> None:
    """Send our lines, and what the HTTP server reports, to stderr; `quiet` leaves out requests that went well."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    for name, level in (("residua.serving", logging.WARNING if quiet else logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
