"""How replies are read: what breaks a rule is noticed, whatever a lenient client would make of it."""

import json

import pytest

from doctor.reply import Reply, Stream
from doctor.verdict import Failed

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = {"message": "m", "type": "t", "param": None, "code": None}


def reply(body: bytes, status: int = 200) -> Reply:
    return Reply(status, {}, (body,))


def test_a_stream_is_its_events() -> None:
    stream = Stream.of(reply(b": hello\n\n" + CHUNK + b"event: x\n" + CHUNK + DONE))
    assert stream.text() == "HiHi"
    assert stream.types == ("", "x")
    assert stream.done


def test_crlf_is_as_good() -> None:
    assert Stream.of(reply((CHUNK + DONE).replace(b"\n", b"\r\n"))).text() == "Hi"


def test_a_stream_without_an_end_mark_is_not_done() -> None:
    assert not Stream.of(reply(CHUNK)).done


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (CHUNK[:-1], "ends in the middle"),
        (CHUNK[:-2] + b"\xff" + CHUNK, "not valid UTF-8"),
        (b"data:\n\n" + DONE, "no data"),
        (DONE + CHUNK, "follow [DONE]"),
        (DONE + DONE, "follow [DONE]"),
        (b"data: {nope\n\n", "no JSON object"),
        (b"data: [1]\n\n", "no JSON object"),
    ],
)
def test_a_broken_stream_is_noticed(body: bytes, reason: str) -> None:
    with pytest.raises(Failed, match=reason.replace("[", r"\[")):
        Stream.of(reply(body))


def test_an_error_has_four_fields() -> None:
    assert reply(json.dumps({"error": ERROR}).encode(), 400).error() == ERROR


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("Unauthorized", "no error object"),
        ({**ERROR, "code": 400}, "error.code is int"),
        ({**ERROR, "param": 7}, "error.param is int"),
        ({**ERROR, "type": None}, "error.type is NoneType"),
        ({"message": "m", "type": "t"}, "lacks code, param"),
    ],
)
def test_an_error_of_another_shape_is_noticed(error: object, reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        reply(json.dumps({"error": error}).encode(), 400).error()


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'"x"'])
def test_a_body_that_is_no_object_is_noticed(body: bytes) -> None:
    with pytest.raises(Failed, match="no JSON object"):
        reply(body, 502).error()
