"""Answers in a form that the client asked for, held to it token by token; no schema harms anybody else."""

import asyncio
import json
import time
from typing import Any

import pytest

from engines.transformers.compiler import Compiler, GrammarRefusal
from engines.transformers.engine import TransformersEngine
from engines.transformers.response_format import json_after

pytestmark = pytest.mark.asyncio(loop_scope="session")

CITY = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "continent": {"enum": ["Africa", "Asia", "Europe"]},
        "people": {"type": "integer", "minimum": 0, "maximum": 99999},
    },
    "required": ["city", "continent", "people"],
    "additionalProperties": False,
}


def schema(value: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": value, **fields}}


async def test_an_answer_follows_its_schema(client: Any) -> None:
    answer = await client.chat(temperature=0, response_format=schema(CITY, strict=True))

    choice = answer["choices"][0]
    said = json.loads(choice["message"]["content"])
    assert choice["finish_reason"] == "stop"
    assert said.keys() == {"city", "continent", "people"}
    assert said["continent"] == "Europe"


async def test_a_hot_answer_follows_its_schema_in_every_choice(client: Any) -> None:
    answer = await client.chat(temperature=2, seed=4, n=4, response_format=schema(CITY), max_tokens=200)

    for choice in answer["choices"]:
        assert choice["finish_reason"] == "stop"
        assert json.loads(choice["message"]["content"])["continent"] in {"Africa", "Asia", "Europe"}


async def test_a_stream_says_the_same_json(client: Any) -> None:
    wish = {"temperature": 0, "response_format": schema(CITY)}
    whole = await client.text("Name a city", **wish)
    chunks = await client.stream("Name a city", **wish)

    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == whole
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_a_json_object_is_an_object(client: Any) -> None:
    answer = await client.chat(
        "Give me a JSON object with the key name", temperature=0, response_format={"type": "json_object"}, max_tokens=60
    )

    assert answer["choices"][0]["message"]["content"].startswith('{"')


async def test_an_answer_cut_short_says_so(client: Any) -> None:
    answer = await client.chat(temperature=0, response_format=schema(CITY), max_tokens=3)

    assert answer["choices"][0]["finish_reason"] == "length"


async def test_the_end_of_the_json_is_the_end_of_the_answer(client: Any) -> None:
    answer = await client.chat(response_format=schema({"const": "yes"}), ignore_eos=True, min_tokens=9)

    assert answer["choices"][0]["message"]["content"] == '"yes"'
    assert answer["choices"][0]["finish_reason"] == "stop"


async def test_logprobs_are_told_of_constrained_tokens(client: Any) -> None:
    answer = await client.chat(response_format=schema({"const": "yes"}), logprobs=True, top_logprobs=1)

    content = answer["choices"][0]["logprobs"]["content"]
    assert "".join(entry["token"] for entry in content) == '"yes"'


async def test_free_neighbours_are_not_constrained(client: Any) -> None:
    alone = await client.text("Name three fruits.", temperature=0, max_tokens=16)

    wish = {"temperature": 0, "max_tokens": 16}
    free, *_ = await asyncio.gather(
        client.text("Name three fruits.", **wish), *(client.chat(response_format=schema(CITY)) for _ in range(3))
    )

    assert free == alone


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": "(?=a)b"},
        {"type": "nothing"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "file:///etc/passwd"},
        {"type": "integer", "minimum": 5, "maximum": 1},
        {"enum": []},
        {"type": "integer", "minimum": 10**400},
    ],
)
async def test_a_schema_that_does_not_compile_is_refused(client: Any, wrong: Any) -> None:
    answer = await client.chat(response_format=schema(wrong))

    assert (answer["error"]["code"], answer["error"]["param"]) == ("invalid_value", "response_format")
    assert "passwd" not in answer["error"]["message"]


async def test_strict_refuses_a_keyword_that_cannot_be_kept_and_names_it(client: Any) -> None:
    unique = {"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True, "maxItems": 2}

    strict = await client.chat(response_format=schema(unique, strict=True))
    lenient = await client.chat(response_format=schema(unique))

    assert '"uniqueItems"' in strict["error"]["message"]
    assert json.loads(lenient["choices"][0]["message"]["content"]) is not None


@pytest.mark.parametrize(
    ("response_format", "param"),
    [
        ({"type": "xml"}, "response_format.type"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_object", "json_schema": {"name": "a"}}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": {"name": "a b"}}, "response_format.json_schema.name"),
        ({"type": "json_schema", "json_schema": {"schema": {}}}, "response_format.json_schema.name"),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": 1}}, "response_format.json_schema.schema"),
    ],
)
async def test_a_format_that_is_none_is_named(client: Any, response_format: Any, param: str) -> None:
    assert (await client.chat(response_format=response_format))["error"]["param"] == param


def nested(depth: int, inner: Any) -> Any:
    for _ in range(depth):
        inner = {"type": "array", "items": inner, "minItems": 2, "maxItems": 9}
    return inner


def alternatives(count: int) -> Any:
    def either(number: int) -> Any:
        return {
            "anyOf": [
                {"properties": {f"{side}{number}": {"const": 1}}, "required": [f"{side}{number}"]} for side in "ab"
            ]
        }

    return {"type": "object", "allOf": [either(number) for number in range(count)]}


EVIL = {
    "nests deep": nested(100, {"type": "string"}),
    "multiplies alternatives": alternatives(40),
    "has a huge least length": {"type": "array", "items": {"type": "integer"}, "minItems": 10**9},
    "has a huge greatest length": {"type": "array", "items": {"type": "integer"}, "maxItems": 10**9},
    "counts in large steps": {"type": "integer", "multipleOf": 1000003},
    "has a pattern that many states match": {"type": "string", "pattern": "(.*a){20}.{200}"},
    "has a pattern that backtracks": {"type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"},
    "has a pattern of a billion": {"type": "string", "pattern": "((a{1,1000}){1,1000}){1,1000}"},
    "has a very long string": {"type": "string", "minLength": 10**9},
    "has long constants": {"type": "object", "properties": {f"p{i}": {"const": "x" * 4000} for i in range(20)}},
    "has patterns that may overlap": {
        "type": "object",
        "patternProperties": {f"^a{i}x.*$": {"type": "string"} for i in range(600)},
    },
    "refers to itself": {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "is very large": {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(20000)}},
}


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL.keys())
async def test_nobody_waits_for_a_schema_that(client: Any, engine: TransformersEngine, evil: Any) -> None:
    begun = time.process_time()
    asking = asyncio.create_task(client.chat(response_format=schema(evil), max_tokens=40, temperature=1.5, seed=1))
    other = await client.text("What is the capital of France?", temperature=0)
    answer = await asking

    assert "Paris" in other
    assert "error" not in answer or answer["error"]["param"] == "response_format"
    assert time.process_time() - begun < 20  # of this process alone, however busy the machine is
    await engine.check_health()


async def test_a_grammar_that_cannot_go_on_ends_the_choice(client: Any) -> None:
    answer = await client.chat(
        response_format=schema({"type": "string", "pattern": ".*a.{60}"}), max_tokens=300, temperature=2, seed=3
    )

    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] < 300


async def test_a_client_that_leaves_a_costly_compilation_leaves_the_next_one_alone(engine: TransformersEngine) -> None:
    compiler: Compiler = engine._compiler  # type: ignore[assignment]
    costly = "start: " + json_after({"type": "integer", "multipleOf": 1000003}, strict=True)
    leaving = asyncio.create_task(compiler.guides(costly, 1))
    async with asyncio.timeout(30):
        while not compiler._turn.locked():
            await asyncio.sleep(0)
    leaving.cancel()

    assert len(await compiler.guides('start: "yes"', 2)) == 2
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_grammar_that_is_too_long_is_not_even_tried(engine: TransformersEngine) -> None:
    compiler: Compiler = engine._compiler  # type: ignore[assignment]

    with pytest.raises(GrammarRefusal, match="longer than"):
        await compiler.guides("start: " + '"a"' * 100_000, 1)
