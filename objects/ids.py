"""Ids that rise with time, so that the id of a list's last item says where its next page begins."""

import secrets
import time


def new_id(prefix: str) -> str:
    """Return a unique id of the form that the API's ids have: ``file-...``, ``batch_...``."""
    return f"{prefix}{int(time.time() * 1e9):016x}{secrets.token_hex(8)}"
