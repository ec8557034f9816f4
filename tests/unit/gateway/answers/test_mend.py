"""vLLM's answers in OpenAI's shape."""

from gateway.answers import mend

VLLM = {
    "id": "chatcmpl-1",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hi",
                "refusal": None,
                "annotations": None,
                "function_call": None,
            },
            "logprobs": None,
            "finish_reason": "stop",
            "stop_reason": "</s>",
            "token_ids": None,
        }
    ],
    "service_tier": None,
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 5, "x": None}},
    "prompt_logprobs": None,
}


def test_a_whole_answer_has_what_openais_schema_requires_and_no_nulls_beside_it() -> None:
    assert mend.completion(VLLM) == {
        "id": "chatcmpl-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "service_tier": None,
        "usage": {
            "prompt_tokens": 1,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def test_what_an_engine_has_to_say_beyond_the_schema_stays() -> None:
    answer = {"choices": [{"message": {"content": None, "reasoning": "because"}, "finish_reason": "stop"}]}
    assert mend.completion(answer)["choices"][0]["message"]["reasoning"] == "because"


def test_an_ending_without_text_is_one_chunk() -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]}
    assert [part["choices"][0]["delta"] for part in mend.ending(chunk)] == [{}]


def test_a_message_with_tool_calls_has_null_content_and_ids_as_openai_writes_them() -> None:
    calls = [{"id": "chatcmpl-tool-1f", "type": "function"}, {"id": "functions.f:0", "type": "function"}]
    answer = {"choices": [{"message": {"content": "", "tool_calls": calls}, "finish_reason": "tool_calls"}]}
    message = mend.completion(answer)["choices"][0]["message"]
    assert message["content"] is None
    assert [call["id"] for call in message["tool_calls"]] == ["call_1f", "functions.f:0"]


def test_a_message_without_tool_calls_keeps_its_empty_content() -> None:
    answer = {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}
    assert mend.completion(answer)["choices"][0]["message"]["content"] == ""


def test_logprobs_have_a_refusal() -> None:
    answer = {"choices": [{"message": {"content": "a"}, "logprobs": {"content": []}, "finish_reason": "stop"}]}
    assert mend.completion(answer)["choices"][0]["logprobs"] == {"content": [], "refusal": None}


def test_a_text_completion_has_no_service_tier() -> None:
    assert "service_tier" not in mend.completion({"object": "text_completion", "choices": [], "service_tier": None})


def test_tokens_written_to_the_cache_have_the_apis_name() -> None:
    counted = {"prompt_tokens": 1, "prompt_tokens_details": {"created_cache_tokens": 3}}
    assert mend.usage(counted)["prompt_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 3}
