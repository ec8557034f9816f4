"""A route that FastAPI documents and a plain ASGI endpoint answers.

FastAPI's dependency injection and response models would cost more than all the rest of a request's way.
"""

from collections.abc import Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import ASGIApp


class PlainRoute(APIRoute):
    """A POST route. Args: answer: the endpoint; documented: a function whose signature and docstring describe it."""

    def __init__(self, path: str, answer: ASGIApp, documented: Callable[..., Any], **schema: Any) -> None:
        super().__init__(path, documented, methods=["POST"], **schema)
        self.app = answer
