"""A file on its way in: multipart/form-data (RFC 7578), passed on in pieces and held against its bounds as it comes.

Nothing is believed of what the client announces. Part by part is parsed as the bytes arrive; of the file, at most one
piece is in memory.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive, Scope

from gateway.http import errors
from gateway.http.body import ClientGone
from gateway.http.filenames import plain_name

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

PIECE_BYTES = 2**20
_MAX_PARTS = 32
_MAX_FIELD_BYTES = 4096
_FRAMING_BYTES = 64 * 2**10
"""What boundaries, headers and fields may take beside the file."""

Write = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True)
class UploadBounds:
    """How large a file may be, in bytes, and how long it may take, in seconds: in all, and between two pieces."""

    max_bytes: int
    timeout_s: float
    pause_s: float


@dataclass
class _Parts:
    """What the parser tells, in the order in which it comes."""

    fields: dict[str, bytes] = field(default_factory=dict)
    filename: str | None = None
    piece: bytearray = field(default_factory=bytearray)
    file_bytes: int = 0
    is_whole: bool = False
    _count: int = 0
    _name: str | None = None
    _is_file: bool = False
    _header: bytes = b""
    _value: bytes = b""
    _disposition: bytes = b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._part_begins,
            "on_header_field": self._header_continues,
            "on_header_value": self._value_continues,
            "on_header_end": self._header_ends,
            "on_headers_finished": self._data_begins,
            "on_part_data": self._data_continues,
            "on_end": self._end,
        }

    def _part_begins(self) -> None:
        self._count += 1
        if self._count > _MAX_PARTS:
            raise errors.invalid_value(None, f"The request body has more than {_MAX_PARTS} parts.")
        self._disposition = b""

    def _header_continues(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _value_continues(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _data_begins(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode(errors="replace")
        self._is_file = self._name == "file"
        if not self._is_file:
            self.fields[self._name] = b""
            return
        if self.filename is not None:
            raise errors.invalid_value("file", "'file' must be one file.")
        if b"filename" not in options:
            raise errors.invalid_value("file", "'file' must be a file, with a name.")
        self.filename = plain_name(options[b"filename"].decode(errors="replace"))

    def _data_continues(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.piece += data[start:end]
            self.file_bytes += end - start
        else:
            value = self.fields[self._name or ""] = self.fields[self._name or ""] + data[start:end]
            if len(value) > _MAX_FIELD_BYTES:
                raise errors.invalid_value(None, f"A field of the form is longer than {_MAX_FIELD_BYTES} bytes.")

    def _end(self) -> None:
        self.is_whole = True


@dataclass(frozen=True)
class Upload:
    """What came beside the file's bytes.

    Attributes:
        filename: what the client calls the file, without any folder.
        fields: the other parts, by name.
    """

    filename: str
    fields: dict[str, str]


async def receive_upload(scope: Scope, receive: Receive, write: Write, bounds: UploadBounds) -> Upload:
    """Pass the bytes of the part ``file`` on to ``write``; return the other parts.

    Raises:
        ApiError: 400, 413 or 415.
        ClientGone: the client left in the middle.
    """
    boundary = _boundary(scope, bounds.max_bytes)
    try:
        async with asyncio.timeout(bounds.timeout_s):
            parts = await _receive(receive, boundary, write, bounds)
    except TimeoutError:
        raise errors.body_too_slow(bounds.timeout_s) from None
    except FormParserError:
        raise _malformed() from None
    if parts.filename is None:
        raise errors.missing_parameter("file")
    try:
        fields = {name: value.decode() for name, value in parts.fields.items()}
    except UnicodeDecodeError:
        raise _malformed() from None
    return Upload(parts.filename, fields)


async def _receive(receive: Receive, boundary: bytes, write: Write, bounds: UploadBounds) -> _Parts:
    parts, size, more = _Parts(), 0, True
    parser = MultipartParser(boundary, parts.callbacks())
    while more:
        async with asyncio.timeout(bounds.pause_s):
            message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        parser.write(chunk)
        if parts.file_bytes > bounds.max_bytes or size > bounds.max_bytes + _FRAMING_BYTES:
            raise errors.too_large(bounds.max_bytes)
        if len(parts.piece) >= PIECE_BYTES or (parts.piece and not more):
            await write(bytes(parts.piece))
            parts.piece.clear()
    if not parts.is_whole:
        raise _malformed()
    return parts


def _boundary(scope: Scope, max_bytes: int) -> bytes:
    headers = dict(scope["headers"])
    media_type, options = parse_options_header(headers.get(b"content-type", b""))
    if media_type.lower() != b"multipart/form-data":
        raise errors.unsupported_media_type("multipart/form-data")
    if not 1 <= len(boundary := options.get(b"boundary", b"")) <= 70:  # RFC 2046
        raise _malformed()
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > max_bytes + _FRAMING_BYTES:
        raise errors.too_large(max_bytes)
    return boundary


def _malformed() -> errors.ApiError:
    return errors.invalid_value(None, "The request body is not well-formed multipart/form-data.")
