"""How a client's absence reaches an app that listens for it.

Ray Serve cancels a request's task when the client leaves. vLLM's endpoints hand their work to a task of their own and
watch for ASGI's ``http.disconnect``: cancelled themselves, they would leave that work running for nobody.
"""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

GRACE_S = 1.0
"""How long an app may take to end its work after it could have read ``http.disconnect``."""


def told_before_cancelled(app: ASGIApp) -> ASGIApp:
    """Return ``app`` with time to act on ``http.disconnect`` before its task is cancelled."""

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.ensure_future(app(scope, receive, send))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task}, timeout=GRACE_S)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise

    return told
