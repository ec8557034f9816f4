"""A stream that holds the other server's connection until it ends, however it ends."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Streamed(StreamingResponse):
    """Events of ours, as they are made."""

    def __init__(self, events: AsyncGenerator[bytes], held: AbstractAsyncContextManager[Any]) -> None:
        """Args: events: whole events. held: is left when the response has ended."""
        super().__init__(events, media_type="text/event-stream")
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._held.__aexit__(None, None, None)
