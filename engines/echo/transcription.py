"""What an echo hears: the words of the file, read as text."""

import orjson
from starlette.datastructures import UploadFile
from starlette.requests import Request

from engines.echo.request import RequestError


async def transcription(request: Request) -> bytes:
    """Return the API's ``transcription`` of the file in a multipart request.

    Raises:
        RequestError: there is no file.
    """
    async with request.form(max_files=1) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise RequestError("file", "it is missing")
        text = (await file.read()).decode(errors="replace")
    seconds = len(text.split())
    return orjson.dumps({"text": text, "usage": {"type": "duration", "seconds": seconds}})
