"""What clients call their files: kept for show, never used as a path."""

from urllib.parse import quote

_MAX_LENGTH = 255
_NAMELESS = "file"


def plain_name(sent: str) -> str:
    """Return the last part of a name, without what could lead anywhere or disturb a terminal."""
    last = sent.replace("\\", "/").rpartition("/")[2]
    shown = "".join(char for char in last if char.isprintable()).strip()
    return _NAMELESS if shown in ("", ".", "..") else shown[:_MAX_LENGTH]


def disposition(filename: str) -> str:
    """Return the ``Content-Disposition`` of a download (RFC 6266), in which the name is all percent-encoded."""
    return f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
