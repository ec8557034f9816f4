"""The slot cache gives the logits that Transformers itself gives, for architectures of every kind of attention."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from engines.base import EngineStartError
from engines.transformers.cache import BLOCK
from engines.transformers.graphs import DecodeGraphs
from engines.transformers.model import Model

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
ARCHITECTURES = {
    "grouped": LlamaConfig(**SIZES),
    "ungrouped": LlamaConfig(**{**SIZES, "num_key_value_heads": 4}),
    "sliding": MistralConfig(**SIZES, sliding_window=7),
    "mixed": Gemma3TextConfig(
        **SIZES, sliding_window=7, layer_types=["sliding_attention", "full_attention", "sliding_attention"]
    ),
    "biased": Qwen2Config(**SIZES),
    "normed": Qwen3Config(**SIZES),
    "absolute": GPT2Config(
        vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=512, bos_token_id=1, eos_token_id=2
    ),
}

PROMPTS = [list(range(5, 25)), [7, 8, 9], list(range(30, 42))]


def saved(config: Any, folder: Path) -> str:
    torch.manual_seed(3)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return str(folder)


@torch.inference_mode()
def expected(source: str, tokens: list[int]) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    return model(torch.tensor([tokens])).logits[0, -1]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.inference_mode()
def test_rows_of_a_batch_have_the_logits_of_their_own_text(architecture: str, tmp_path: Path) -> None:
    source = saved(ARCHITECTURES[architecture], tmp_path)
    model = Model(source, rows=3, dtype="float32", device="cpu")

    after_prompts = model.last_logits(0, PROMPTS, [0, 0, 0])
    after_one_more = model.last_logits(0, [[11], [12], [13]], [len(prompt) for prompt in PROMPTS])

    for row, prompt in enumerate(PROMPTS):
        torch.testing.assert_close(after_prompts[row], expected(source, prompt), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(after_one_more[row], expected(source, [*prompt, 11 + row]), atol=1e-4, rtol=1e-4)


def no_graph() -> None:
    """Stand for PyTorch on a machine without a GPU: what is computed on the CPU is in no CUDA graph anywhere."""
    raise RuntimeError("no CUDA graphs here")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.inference_mode()
def test_a_step_of_fixed_shape_has_the_same_logits_and_leaves_other_rows_alone(
    architecture: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "CUDAGraph", no_graph)
    source = saved(ARCHITECTURES[architecture], tmp_path)
    model = Model(source, rows=4, dtype="float32", device="cpu")
    graphs = DecodeGraphs(model.next_logits, model.cache, rows=3, device=model.device)
    model.last_logits(0, PROMPTS, [0, 0, 0])

    steps = [graphs.logits([11 + step, 12 + step], [20 + step, 3 + step]).clone() for step in range(2)]
    joining = model.last_logits(2, [[13]], [len(PROMPTS[2])])

    for row in (0, 1):
        ahead = [11 + row, 12 + row]
        torch.testing.assert_close(steps[0][row], expected(source, PROMPTS[row] + ahead[:1]), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(steps[1][row], expected(source, PROMPTS[row] + ahead), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(joining[0], expected(source, [*PROMPTS[2], 13]), atol=1e-4, rtol=1e-4)
    assert caplog.text.count("cannot be captured") == 1  # and no step is lost for it


@torch.inference_mode()
def test_a_row_can_move_and_outgrow_the_cache(tmp_path: Path) -> None:
    source = saved(ARCHITECTURES["grouped"], tmp_path)
    model = Model(source, rows=3, dtype="float32", device="cpu")
    prompt = [5 + i % 90 for i in range(BLOCK - 2)]
    more = [6, 7, 8, 9, 10]

    model.last_logits(2, [prompt], [0])
    model.cache.copy_row(2, 0, len(prompt))
    logits = model.last_logits(0, [more], [len(prompt)])

    assert model.cache.capacity == 2 * BLOCK
    torch.testing.assert_close(logits[0], expected(source, prompt + more), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_what_a_row_held_before_does_not_matter(tmp_path: Path) -> None:
    model = Model(saved(ARCHITECTURES["sliding"], tmp_path), rows=1, dtype="float32", device="cpu")
    fresh = model.last_logits(0, [PROMPTS[1]], [0])

    model.last_logits(0, [PROMPTS[0]], [0])
    again = model.last_logits(0, [PROMPTS[1]], [0])

    torch.testing.assert_close(again, fresh)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2, state_size=4), "attention models only"),
        (Gemma2Config(**SIZES, attn_logit_softcapping=50.0), "soft caps or sinks"),
    ],
    ids=["no attention", "soft caps"],
)
def test_a_model_that_cannot_be_served_does_not_start(config: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(EngineStartError, match=why):
        Model(saved(config, tmp_path), rows=2, dtype="float32", device="cpu")
