"""vLLM's answers in OpenAI's shape."""

from gateway import mend

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
            "stop_reason": None,
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
