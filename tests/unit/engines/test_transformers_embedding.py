"""Embeddings of the embedded encoder: the model's own vectors, in the API's shapes."""

import asyncio
import base64
import json
import shutil
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engines.base import EngineSettings, EngineStartError, Load
from engines.embedded import prepare
from engines.transformers.encoder import Encoder, Pooling
from engines.transformers.engine import TransformersEngine
from tests.unit.engines.conftest import Client

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAT = "The cat sits on the mat."
RUG = "A cat is sitting on a rug."
REVENUE = "Quarterly revenue rose."
TOKENS = [101, 1996, 4937, 7719, 2006, 1996, 13523, 1012, 102]
"""The first text, as the model reads it."""

VLLM = [0.13418, -0.03290, -0.02480, 0.04144]
"""How the first text's vector begins on vLLM 0.32."""


@pytest.fixture(scope="session")
def minilm(home: Path) -> str:
    return str(prepare("minilm", home))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def encoder(minilm: str) -> AsyncIterator[TransformersEngine]:
    engine = TransformersEngine(EngineSettings(model="minilm", task="embed", source=minilm))
    engine.app = await engine.start()  # type: ignore[attr-defined]
    yield engine
    await engine.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def minilm_client(encoder: TransformersEngine) -> AsyncIterator[Client]:
    client = Client(encoder.app)  # type: ignore[attr-defined]
    yield client
    await client.http.aclose()


async def embed(client: Client, given: Any, **fields: Any) -> Any:
    """Return the answer's JSON, whatever its status."""
    return (await client.post("embeddings", input=given, **fields)).json()


async def vectors(client: Client, given: Any) -> list[list[float]]:
    return [entry["embedding"] for entry in (await embed(client, given))["data"]]


def similarity(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_what_means_the_same_is_near_and_what_does_not_is_far(minilm_client: Client) -> None:
    mat, rug, revenue = await vectors(minilm_client, [MAT, RUG, REVENUE])

    assert similarity(mat, rug) == pytest.approx(0.769, abs=0.01)
    assert similarity(mat, revenue) == pytest.approx(-0.036, abs=0.01)
    assert similarity(mat, mat) == pytest.approx(1, abs=1e-4)


async def test_a_vector_is_the_one_that_vllm_gives(minilm_client: Client) -> None:
    (vector,) = await vectors(minilm_client, MAT)

    assert len(vector) == 384
    assert vector[:4] == pytest.approx(VLLM, abs=1e-3)


async def test_an_answer_has_every_field(minilm_client: Client) -> None:
    answer = await embed(minilm_client, [MAT, "x"], model="minilm", user="u")

    assert (answer["object"], answer["model"]) == ("list", "minilm")
    assert [(entry["object"], entry["index"]) for entry in answer["data"]] == [("embedding", 0), ("embedding", 1)]
    assert answer["usage"] == {"prompt_tokens": 12, "total_tokens": 12}


async def test_an_input_has_four_forms(minilm_client: Client) -> None:
    answers = [await vectors(minilm_client, given) for given in (MAT, [MAT], TOKENS, [TOKENS])]

    for (vector,) in answers[1:]:
        assert vector == pytest.approx(answers[0][0], abs=1e-5)


async def test_base64_is_the_same_numbers_as_little_endian_floats(minilm_client: Client) -> None:
    (expected,) = await vectors(minilm_client, MAT)
    packed = (await embed(minilm_client, MAT, encoding_format="base64"))["data"][0]["embedding"]

    assert list(struct.unpack("<384f", base64.b64decode(packed))) == pytest.approx(expected, abs=1e-6)


async def test_a_text_has_the_same_vector_in_any_company(minilm_client: Client) -> None:
    texts = [f"{MAT} {'and on the floor ' * (number % 7)}" for number in range(40)]
    together = await vectors(minilm_client, texts)
    several = await asyncio.gather(*(vectors(minilm_client, text) for text in texts[:8]))

    for (alone,), vector in zip(several, together[:8], strict=True):
        assert alone == pytest.approx(vector, abs=1e-5)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"input": "x", "dimensions": 100}, "dimensions", "unsupported_parameter"),
        ({"input": "x", "dimensions": 0}, "dimensions", "invalid_value"),
        ({"input": "x", "encoding_format": "int8"}, "encoding_format", "invalid_value"),
        ({"input": "x", "truncate_prompt_tokens": 5}, "truncate_prompt_tokens", "unsupported_parameter"),
        ({"input": "x", "model": "other"}, "model", "model_not_found"),
        ({"input": "word " * 300}, "input", "context_length_exceeded"),
        ({"input": ["x", [101]]}, "input", "invalid_value"),
        ({"input": ""}, "input", "invalid_value"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": [[]]}, "input", "invalid_value"),
        ({"input": ["x"] * 2049}, "input", "invalid_value"),
        ({"input": [30522]}, "input", "invalid_value"),
        ({}, "input", "missing_required_parameter"),
    ],
)
async def test_what_cannot_be_embedded_is_named(minilm_client: Client, body: Any, param: str, code: str) -> None:
    error = (await minilm_client.post("embeddings", **body)).json()["error"]

    assert (error["param"], error["code"]) == (param, code)


async def test_an_input_that_is_too_long_says_so_as_clients_expect(minilm_client: Client) -> None:
    message = (await embed(minilm_client, "word " * 300))["error"]["message"]

    assert message.startswith("This model's maximum context length is 256 tokens. However, your input resulted in 302")
    assert "(context_length_exceeded)" in message


async def test_an_encoder_answers_no_chat(minilm_client: Client) -> None:
    response = await minilm_client.post("chat/completions", messages=[{"role": "user", "content": "x"}])

    assert response.status_code == 404


async def test_an_encoder_tokenizes(minilm_client: Client) -> None:
    answer = (await minilm_client.http.post("/tokenize", json={"prompt": MAT})).json()

    assert (answer["tokens"], answer["max_model_len"]) == (TOKENS, 256)


async def test_who_leaves_takes_the_texts_along(minilm_client: Client, encoder: TransformersEngine) -> None:
    asking = asyncio.create_task(embed(minilm_client, ["word " * 200] * 500))
    async with asyncio.timeout(30):
        while encoder.load().waiting == 0:
            await asyncio.sleep(0.01)
        asking.cancel()
        while encoder.load() != Load(running=0, waiting=0):
            await asyncio.sleep(0.01)

    await encoder.check_health()


async def test_a_failing_batch_is_an_error_and_many_are_ill_health(
    minilm_client: Client, encoder: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("device lost")

    with monkeypatch.context() as broken:
        broken.setattr(Encoder, "encode", fail)
        for _ in range(3):
            response = await minilm_client.post("embeddings", input="x")
            assert (response.status_code, response.json()["error"]["type"]) == (500, "server_error")
        with pytest.raises(RuntimeError):
            await encoder.check_health()

    await vectors(minilm_client, "x")
    await encoder.check_health()


async def test_a_task_that_the_engine_has_no_models_for_is_named(minilm: str) -> None:
    engine = TransformersEngine(EngineSettings(model="m", task="transcribe", source=minilm))

    with pytest.raises(EngineStartError, match="task"):
        await engine.start()


def described(tmp_path: Path, modules: list[str], pooling: dict[str, Any]) -> str:
    """Write the configuration of an encoder."""
    paths = [{"type": f"sentence_transformers.models.{name}", "path": name} for name in modules]
    (tmp_path / "modules.json").write_text(json.dumps(paths))
    (tmp_path / "Pooling").mkdir()
    (tmp_path / "Pooling" / "config.json").write_text(json.dumps(pooling))
    return str(tmp_path)


async def test_pooling_is_the_models_own(tmp_path: Path) -> None:
    source = described(tmp_path, ["Transformer", "Pooling"], {"pooling_mode_cls_token": True})

    assert Pooling.of(source) == Pooling("cls", normalised=False)


async def test_a_model_that_says_nothing_is_pooled_by_mean(tmp_path: Path) -> None:
    assert Pooling.of(str(tmp_path)) == Pooling("mean", normalised=True)


@pytest.mark.parametrize(
    ("modules", "pooling"),
    [
        (["Transformer", "Pooling", "Dense"], {"pooling_mode_mean_tokens": True}),
        (["Transformer", "Pooling"], {"pooling_mode_max_tokens": True}),
        (["Transformer", "Pooling"], {"pooling_mode_max_tokens": True, "pooling_mode": "max"}),
        (["Transformer", "Pooling"], {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}),
    ],
)
async def test_pooling_that_is_not_known_is_no_start(tmp_path: Path, modules: Any, pooling: Any) -> None:
    with pytest.raises(EngineStartError):
        Pooling.of(described(tmp_path, modules, pooling))


async def test_a_model_that_was_trained_for_it_cuts_its_vectors(minilm: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(minilm, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "matryoshka_dimensions": [64, 384]}))
    engine = TransformersEngine(EngineSettings(model="m", task="embed", source=str(folder)))
    client = Client(await engine.start())

    (entry,) = (await embed(client, MAT, dimensions=64))["data"]
    other = await embed(client, MAT, dimensions=100)
    await engine.stop()

    assert (len(entry["embedding"]), similarity(entry["embedding"], entry["embedding"])) == (64, pytest.approx(1))
    assert other["error"]["param"] == "dimensions"
