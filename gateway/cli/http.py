"""Asks a running gateway, with the standard library alone: ``--help`` and ``status`` should not wait for imports."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen


class Unreachable(Exception):
    """Nobody answers, or not as a gateway does; the message says what came instead."""


@dataclass(frozen=True)
class Answer:
    """A gateway's answer: its HTTP status and its JSON body."""

    status: int
    body: dict[str, Any]


def get(
    base_url: str, path: str, *, api_key: str = "", headers: Mapping[str, str] | None = None, timeout_s: float = 5
) -> Answer:
    """Return the answer to a GET.

    Raises:
        Unreachable: there is no JSON object in return.
    """
    url = f"{base_url.rstrip('/')}{path}"
    if not url.startswith(("http://", "https://")):
        raise Unreachable(f"{base_url!r} is no http:// or https:// address")
    shown = {"authorization": f"Bearer {api_key}"} if api_key else {}
    request = Request(url, headers={**shown, **(headers or {})})  # noqa: S310 - checked
    try:
        with urlopen(request, timeout=timeout_s) as response:  # noqa: S310 - checked
            return Answer(response.status, _object(url, response.read()))
    except HTTPError as error:
        return Answer(error.code, _object(url, error.read()))
    except (URLError, OSError) as error:
        raise Unreachable(f"nothing answers at {url}: {getattr(error, 'reason', error)}") from None


def _object(url: str, body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise Unreachable(f"what answers at {url} is no gateway")
    return parsed
