"""What other servers were reported to send: the same answer in many spellings, and what is none."""

import json
from typing import Any

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chunk(delta: Any = None, reason: Any = None, **fields: Any) -> str:
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": reason}
    return json.dumps({"id": "x", "object": "chat.completion.chunk", "created": 1, "choices": [choice], **fields})


HELLO = [chunk({"role": "assistant", "content": "Hel"}), chunk({"content": "lo"})]
STOP = chunk({}, "stop")
LAST = json.dumps({"id": "x", "choices": [], "usage": USAGE})


def events(*data: str, end: str = "\n\n", head: str = "data: ") -> bytes:
    return "".join(f"{head}{each}{end}" for each in data).encode()


STREAMS: dict[str, bytes] = {
    "as OpenAI sends it": events(*HELLO, STOP, LAST, "[DONE]"),
    "with CR LF": events(*HELLO, STOP, LAST, "[DONE]", end="\r\n\r\n"),
    "with CR alone": events(*HELLO, STOP, LAST, "[DONE]", end="\r\r"),
    "without a space after data:": events(*HELLO, STOP, LAST, "[DONE]", head="data:"),
    "with an id, a name and a comment in each event": events(
        *HELLO, STOP, LAST, "[DONE]", head=": a comment\nid: 7\nevent: message\ndata: "
    ),
    "with a byte order mark": b"\xef\xbb\xbf" + events(*HELLO, STOP, LAST, "[DONE]"),
    "with an end of one newline": events(*HELLO, STOP, LAST) + b"data: [DONE]\n",
    "without [DONE]": events(*HELLO, STOP, LAST),
    "with a comment behind [DONE]": events(*HELLO, STOP, LAST, "[DONE]") + b": bye\n\n",
    "with empty choices first, as Azure": events(
        json.dumps({"choices": [], "prompt_filter_results": []}), *HELLO, STOP, LAST, "[DONE]"
    ),
    "with other fields behind the usage": events(*HELLO, STOP, LAST, json.dumps({"choices": [], "x": 1}), "[DONE]"),
    "with a null usage in each chunk": events(
        *(json.dumps({**json.loads(each), "usage": None}) for each in (*HELLO, STOP)), LAST, "[DONE]"
    ),
    "with its usage in the chunk that ends": events(*HELLO, chunk({}, "stop", usage=USAGE), "[DONE]"),
    "with its usage in a chunk with an empty delta": events(*HELLO, STOP, chunk({}, None, usage=USAGE), "[DONE]"),
    "with a usage in every chunk": events(
        *(
            chunk(json.loads(each)["choices"][0]["delta"], None, usage={**USAGE, "completion_tokens": 1})
            for each in HELLO
        ),
        chunk({}, "stop", usage=USAGE),
        "[DONE]",
    ),
    "without prompt tokens, which the total tells": events(
        *HELLO, STOP, json.dumps({"choices": [], "usage": {"completion_tokens": 2, "total_tokens": 5}}), "[DONE]"
    ),
    "with an end that has no delta": events(
        *HELLO, json.dumps({"choices": [{"index": 0, "finish_reason": "stop"}]}), LAST, "[DONE]"
    ),
    "with an end whose delta is null": events(
        *HELLO, json.dumps({"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]}), LAST, "[DONE]"
    ),
    "with an empty reason in every chunk": events(
        *(chunk(json.loads(each)["choices"][0]["delta"], "") for each in HELLO), STOP, LAST, "[DONE]"
    ),
    "with its end told twice": events(*HELLO, STOP, STOP, LAST, "[DONE]"),
    "with the reason beside the last text": events(HELLO[0], chunk({"content": "lo"}, "stop"), LAST, "[DONE]"),
    "without an index": events(
        *(json.dumps({"choices": [{"delta": json.loads(each)["choices"][0]["delta"]}]}) for each in HELLO),
        STOP,
        LAST,
        "[DONE]",
    ),
}
BROKEN: dict[str, bytes] = {
    "an end in the middle": events(*HELLO),
    "a reason that is an error": events(*HELLO, chunk({}, "error"), "[DONE]"),
    "an error that is not the first key": events(*HELLO, json.dumps({"id": "x", "error": {"message": "sk-SECRET"}})),
    "an error beside empty choices": events(*HELLO, json.dumps({"choices": [], "error": {"message": "sk-SECRET"}})),
    "a named error": events(*HELLO) + b'event: error\ndata: {"message": "sk-SECRET"}\n\n',
    "what is no JSON": events(*HELLO, "<html>sk-SECRET</html>"),
    "NaN": events(*HELLO, '{"choices": [], "usage": NaN}'),
}
STILLBORN: dict[str, bytes] = {
    "nothing": b"",
    "comments": b": hello\n\n",
    "[DONE] at once": events("[DONE]"),
    "an error": events(json.dumps({"error": {"message": "sk-SECRET"}})),
    "an error that is not the first key": events(json.dumps({"id": "x", "error": {"message": "sk-SECRET"}})),
    "an error as a text": events(json.dumps({"error": "sk-SECRET"})),
    "a named error": b'event: error\ndata: {"message": "sk-SECRET"}\n\n',
    "a choice that failed": events(chunk({}, "error"), "[DONE]"),
    "no resources": events(chunk({}, "insufficient_system_resource"), "[DONE]"),
    "HTML": b"<html>sk-SECRET</html>",
    "HTML as an event": events("<html>sk-SECRET</html>"),
    "NaN": events('{"choices": [], "usage": NaN}'),
    "a text": events('"sk-SECRET"'),
    "an empty prelude, then an error": events(
        json.dumps({"choices": [], "prompt_filter_results": []}), json.dumps({"error": {"message": "sk-SECRET"}})
    ),
    "a usage without an answer": events(LAST, "[DONE]"),
}
"""Streams whose first event is a failure already."""
WRONG: dict[str, tuple[int, str, bytes]] = {
    "an error with status 200": (200, "application/json", b'{"error": {"message": "sk-SECRET"}}'),
    "no choices": (200, "application/json", b'{"object": "chat.completion"}'),
    "empty choices": (200, "application/json", b'{"choices": []}'),
    "HTML": (200, "text/html", b"<html>sk-SECRET</html>"),
    "NaN": (200, "application/json", b'{"choices": [{"logprobs": NaN}]}'),
    "a choice that failed": (200, "application/json", b'{"choices": [{"index": 0, "finish_reason": "error"}]}'),
    "a stream that nobody asked for": (200, "text/event-stream", events(STOP)),
}


def named(**data: Any) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


MESSAGE = [
    named(type="message_start", message={"id": "msg_1", "model": "theirs", "usage": {"input_tokens": 3}}),
    named(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"}),
    named(type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
    named(type="message_stop"),
]
RESPONSE = [
    named(type="response.created", response={"id": "resp_1", "model": "theirs", "status": "in_progress"}),
    named(type="response.output_text.delta", delta="Hi"),
    named(type="response.completed", response={"id": "resp_1", "model": "theirs", "status": "completed"}),
]
"""Streams of named events, an event each."""
