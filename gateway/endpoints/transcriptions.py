"""``POST /v1/audio/transcriptions``: fields as in OpenAI's API reference, relayed as multipart."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import Field

from auth.usage import NOTHING
from gateway import paths
from gateway.answers import mend
from gateway.answers.choices import ChoicesStream
from gateway.answers.relay import usage_of
from gateway.config.settings import Bounds
from gateway.endpoints.call import Call, Prompt, Whole, texts_of
from gateway.endpoints.closed import ENGINES, EXTENSION, Closed, Engines, checked, forwarded
from gateway.endpoints.fields import Model
from gateway.http import errors
from gateway.http.upload import Upload

_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


class TranscriptionBody(Closed):
    """The fields of a transcription: all that it may have; the file stands beside them."""

    model: Model | None = None
    language: str | None = Field(default=None, max_length=32)
    prompt: str | None = Field(default=None, max_length=8192)
    response_format: Literal["json", "verbose_json"] | None = None
    temperature: str | None = Field(default=None, max_length=32, pattern=r"^(0(\.\d+)?|1(\.0+)?)$")
    stream: Literal["true", "false", "1", "0"] | None = None
    stream_include_usage: Annotated[Literal["true", "false", "1", "0"] | None, EXTENSION] = None
    max_completion_tokens: Annotated[str | None, Field(max_length=10, pattern=r"^[1-9]\d{0,8}$"), EXTENSION] = None
    timestamp_granularities: Annotated[Any, Field(alias="timestamp_granularities[]"), ENGINES] = None
    include: Annotated[Any, Field(alias="include[]"), ENGINES] = None
    chunking_strategy: Engines = None
    hotwords: Annotated[str | None, Field(max_length=8192), EXTENSION] = None
    seed: Annotated[str | None, Field(max_length=20), EXTENSION] = None
    top_p: Annotated[str | None, Field(max_length=32), EXTENSION] = None


class TranscriptionUpload(TranscriptionBody):
    """All of the request, for the OpenAPI schema."""

    file: UploadFile


class TranscriptionForm:
    """A ``transcription``, or a stream of its parts."""

    salted = False

    def whole(self, answer: dict[str, Any]) -> Whole:
        """Read an answer that came whole; its usage may be a duration, which is no tokens."""
        counted = answer.get("usage")
        is_duration = isinstance(counted, dict) and counted.get("type") == "duration"
        if is_duration:
            return Whole(mend.told(answer), NOTHING)
        return Whole(mend.told(answer), usage_of(answer), said=texts_of(answer.get("text")))

    def stream(self, call: Call) -> ChoicesStream:
        """Return the reader of a streamed answer."""
        return ChoicesStream(call.include_usage)


@dataclass(frozen=True, kw_only=True)
class TranscriptionCall(Call):
    """A call whose body is multipart."""

    upload: Upload

    def body_for(self, model: str, cache_salt: str | None = None) -> tuple[str, bytes]:
        """Return the content type and the body for the engine of ``model``."""
        del cache_salt  # there is no prompt to keep
        return self.upload.encoded(model)


def parse_transcription(upload: Upload, bounds: Bounds) -> Call:
    """Return the call that an upload is.

    Raises:
        ApiError: 400, naming the field.
    """
    if upload.fields.get("response_format") in {"text", "srt", "vtt"}:
        raise errors.unsupported_parameter("response_format", "Ask for 'json' or 'verbose_json'.")
    body = checked(TranscriptionBody, upload.fields, bounds)
    if not upload.file:
        raise errors.invalid_value("file", "'file' is empty.")
    sent = replace(upload, fields=forwarded(TranscriptionBody, upload.fields))
    return TranscriptionCall(
        path=paths.TRANSCRIPTIONS,
        form=TranscriptionForm(),
        model=body.model,
        payload=sent.fields,
        prompt=Prompt(texts=(body.prompt or "", body.hotwords or ""), is_text=False),
        prompt_field="file",
        stream=_BOOLEANS.get(body.stream or "false", False),
        max_tokens=int(body.max_completion_tokens) if body.max_completion_tokens else None,
        upload=sent,
    )
