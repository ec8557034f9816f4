"""Logs are events with fields, one JSON object a line; no prompt, no answer, no secret."""

import logging
import sys

import orjson
import structlog


def configure_logs() -> None:
    """Send this process's events to standard error, where Ray picks them up."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _traceback_without_values,
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


def _traceback_without_values(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace an exception by where it happened: its text may hold what a client sent."""
    if event.pop("exc_info", None):
        import traceback

        error = sys.exc_info()[1]
        frames = traceback.extract_tb(error.__traceback__) if error else []
        event["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    return event
