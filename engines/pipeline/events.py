"""Server-sent events, out of bytes that are cut anywhere."""

from collections.abc import AsyncIterator

from engines.pipeline.errors import ApiError

DONE = b"[DONE]"


async def events_of(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the data of each event up to ``[DONE]``; comments are passed over.

    Raises:
        ApiError: 500, when the stream ends without it: a model that broke off has not answered.
    """
    held, done = b"", False
    async for part in parts:  # to its very end: a call that is dropped before is broken off
        *whole, held = (held + part).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in whole:
            data = event.partition(b"data:")[2].strip()
            done = done or data == DONE
            if data and not done:
                yield data
    if not done:
        raise ApiError.broken()
