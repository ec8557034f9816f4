"""A file on its way in: whatever the client does, within bounds."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from gateway.http.body import ClientGone
from gateway.http.errors import ApiError
from gateway.http.file_upload import PIECE_BYTES, Upload, UploadBounds, receive_upload
from gateway.http.filenames import disposition, plain_name

BOUNDS = UploadBounds(max_bytes=3 * PIECE_BYTES, timeout_s=5, pause_s=0.1)
BOUNDARY = "boundary"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    more = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


async def upload(
    body: bytes,
    *,
    cut: int = 65536,
    ends: Message | None = None,
    content_type: str | None = None,
    bounds: UploadBounds = BOUNDS,
) -> tuple[Upload, list[bytes]]:
    """Send a body in chunks of ``cut`` bytes; ``ends`` is sent in place of its end."""
    chunks = [body[start : start + cut] for start in range(0, len(body), cut)] or [b""]
    messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages += [ends] if ends is not None else [{"type": "http.request", "body": b"", "more_body": False}]
    written: list[bytes] = []

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    async def write(piece: bytes) -> None:
        written.append(piece)

    header = content_type or f"multipart/form-data; boundary={BOUNDARY}"
    scope: Any = {"type": "http", "headers": [(b"content-type", header.encode())]}
    return await receive_upload(scope, receive, write, bounds), written


async def refused(asking: Callable[[], Any]) -> ApiError:
    with pytest.raises(ApiError) as error:
        await asking()
    return error.value


async def test_fields_and_file_come_in_any_order() -> None:
    file, purpose = part("file", b"{}\n{}", "a.jsonl"), part("purpose", b"batch")
    for body in (file + purpose, purpose + file):
        form, written = await upload(body + END)
        assert (form.filename, form.fields, b"".join(written)) == ("a.jsonl", {"purpose": "batch"}, b"{}\n{}")


@given(data=st.binary(max_size=300), cut=st.integers(1, 64))
def test_the_file_arrives_as_it_was_however_it_is_cut(data: bytes, cut: int) -> None:
    _, written = asyncio.run(upload(part("file", data, "a") + END, cut=cut))
    assert b"".join(written) == data


@given(st.binary(max_size=400))
def test_no_body_breaks_anything(body: bytes) -> None:
    async def sent() -> int:
        try:
            await upload(f"--{BOUNDARY}\r\n".encode() + body, cut=50)
        except ApiError as error:
            return error.status
        return 200

    assert asyncio.run(sent()) in (200, 400)


async def test_a_large_file_is_passed_on_in_pieces() -> None:
    _, written = await upload(part("file", b"x" * (3 * PIECE_BYTES), "a") + END)
    assert len(written) == 3
    assert max(map(len, written)) <= PIECE_BYTES + 65536


async def test_a_file_over_the_bound_is_refused_while_it_comes() -> None:
    error = await refused(lambda: upload(part("file", b"x" * (3 * PIECE_BYTES + 1), "a") + END))
    assert (error.status, error.code) == (413, "request_too_large")


async def test_parts_without_end_are_refused() -> None:
    error = await refused(lambda: upload(b"".join(part(f"field{number}", b"x") for number in range(100))))
    assert error.status == 400


async def test_a_field_without_end_is_refused() -> None:
    error = await refused(lambda: upload(part("purpose", b"x" * 5000)))
    assert error.status == 400


async def test_headers_without_end_are_refused() -> None:
    head = f"--{BOUNDARY}\r\n".encode()
    for body in (head + b"X: " + b"y" * 100_000, head + b"X: y\r\n" * 10_000):
        assert (await refused(lambda body=body: upload(body))).status == 400


async def test_a_client_that_pauses_for_too_long_is_given_up() -> None:
    forever: Message = {"type": "http.request", "body": b"", "more_body": True}
    error = await refused(lambda: upload(part("file", b"x", "a"), ends=forever))
    assert error.status == 400


async def test_a_body_that_stops_before_its_last_boundary_is_refused() -> None:
    assert (await refused(lambda: upload(part("file", b"x", "a")))).status == 400


async def test_a_client_that_leaves_gets_no_answer() -> None:
    with pytest.raises(ClientGone):
        await upload(part("file", b"x", "a"), ends={"type": "http.disconnect"})


async def test_without_a_file_there_is_no_upload() -> None:
    assert (await refused(lambda: upload(part("purpose", b"batch") + END))).param == "file"
    assert (await refused(lambda: upload(part("file", b"no name") + END))).param == "file"
    twice = part("file", b"x", "a") * 2
    assert (await refused(lambda: upload(twice + END))).param == "file"


@pytest.mark.parametrize("content_type", ["application/json", "multipart/mixed; boundary=x", "multipart/form-data"])
async def test_another_content_type_is_refused(content_type: str) -> None:
    assert (await refused(lambda: upload(END, content_type=content_type))).status in (400, 415)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("input.jsonl", "input.jsonl"),
        ("../../etc/passwd", "passwd"),
        ("C:\\secrets\\keys.txt", "keys.txt"),
        ("a\x00b\nc\x1b[31m.jsonl", "abc[31m.jsonl"),
        ("..", "file"),
        ("", "file"),
        ("x" * 1000, "x" * 255),
    ],
)
def test_a_name_leads_nowhere(sent: str, kept: str) -> None:
    assert plain_name(sent) == kept


@given(st.text())
def test_a_name_cannot_break_out_of_its_header(sent: str) -> None:
    header = disposition(plain_name(sent))
    assert header.isascii()
    assert header.isprintable()
    assert '"' not in header
