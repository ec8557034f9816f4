"""What continuous batching costs: 16 streams at once against one ``generate`` call over the same prompts.

``python -m benchmarks.transformers_batch`` prints tokens/s of Transformers' own ``generate`` (one left-padded batch),
of the engine's scheduler, and of the engine's app with one stream a prompt; on a GPU also of Transformers' own
continuous batching, as it comes and with CUDA graphs. Same weights, type, threads and prompts, measured in turns so
that a busy machine is busy for all.
"""

import argparse
import asyncio
import statistics
import time
from pathlib import Path
from queue import SimpleQueue

import httpx
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, ContinuousBatchingConfig, GenerationConfig

from engines.base import EngineSettings, default_home
from engines.embedded import resolve
from engines.transformers.engine import TransformersEngine
from engines.transformers.model import Model
from engines.transformers.sampling import SamplingParams
from engines.transformers.scheduler import Scheduler
from engines.transformers.sequence import Limits, Sequence
from engines.transformers.tokenizer import Tokenizer

SUBJECTS = ["a river", "the number seven", "a clockmaker who lost her only key", "rain", "two foxes", "a lighthouse"]


def prompts(count: int) -> list[str]:
    """Return different prompts of different lengths."""
    return [
        f"Write a long story about {SUBJECTS[i % 6]}" + " and its neighbour" * (i % 5) + f", part {i}."
        for i in range(count)
    ]


class Generate:
    """Transformers' own loop."""

    def __init__(self, source: str, dtype: str, device: str, texts: list[str], tokens: int) -> None:
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        chats = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
            )
            for text in texts
        ]
        self._inputs = tokenizer(chats, return_tensors="pt", padding=True, add_special_tokens=False).to(device)
        self._model = AutoModelForCausalLM.from_pretrained(source, dtype=getattr(torch, dtype)).eval().to(device)
        self._tokens = tokens

    async def run(self) -> None:
        """Generate once."""
        with torch.inference_mode():
            self._model.generate(
                **self._inputs, max_new_tokens=self._tokens, min_new_tokens=self._tokens, do_sample=False
            )


class GenerateBatch:
    """Transformers' own continuous batching, with its manager kept warm."""

    def __init__(self, source: str, dtype: str, device: str, texts: list[str], tokens: int, *, graphs: bool) -> None:
        tokenizer = Tokenizer(source)
        self._prompts = [list(tokenizer.chat([{"role": "user", "content": text}])) for text in texts]
        model = AutoModelForCausalLM.from_pretrained(
            source, dtype=getattr(torch, dtype), attn_implementation="paged|sdpa"
        )
        self._tokens = tokens
        self._manager = (
            model.eval()
            .to(device)
            .init_continuous_batching(
                generation_config=GenerationConfig(do_sample=False, max_new_tokens=tokens, eos_token_id=-1),
                # A tenth each: the other ways' models share the device.
                continuous_batching_config=ContinuousBatchingConfig(
                    use_cuda_graph=graphs, max_memory_percent=0.1, max_requests_per_batch=len(texts)
                ),
            )
        )
        self._manager.start()

    async def run(self) -> None:
        """Generate once."""
        self._manager.add_requests(inputs=self._prompts, max_new_tokens=self._tokens)
        left = len(self._prompts)
        while left:
            result = await asyncio.to_thread(self._manager.get_result, timeout=1)
            if result is None and not self._manager.is_running():
                raise RuntimeError("Transformers' continuous batching has ended")
            if result is not None and result.is_finished():
                if len(result.generated_tokens) != self._tokens:
                    raise RuntimeError(f"{len(result.generated_tokens)} tokens instead of {self._tokens}")
                left -= 1

    def stop(self) -> None:
        """End its thread."""
        self._manager.stop(block=True)


class Batch:
    """The engine's scheduler, without its app."""

    def __init__(self, source: str, dtype: str, device: str, texts: list[str], tokens: int) -> None:
        self._tokenizer = Tokenizer(source)
        self._prompts = [self._tokenizer.chat([{"role": "user", "content": text}]) for text in texts]
        self._tokens = tokens
        self._ends: SimpleQueue[None] = SimpleQueue()
        model = Model(source, rows=len(texts), dtype=dtype, device=device)
        self.scheduler = Scheduler(model, self._deliver, max_batch_size=len(texts), prefill_tokens=512)
        self.scheduler.start()

    async def run(self) -> None:
        """Generate once."""
        limits = Limits(max_tokens=self._tokens, ignore_eos=True)
        self.scheduler.add(
            Sequence(
                index,
                prompt,
                SamplingParams(temperature=0),
                limits,
                seed=None,
                decode=self._tokenizer.decode,
                eos_token_ids=frozenset(),
            )
            for index, prompt in enumerate(self._prompts)
        )
        for _ in self._prompts:
            self._ends.get()

    def _deliver(self, produced: list) -> None:
        for _, piece in produced:
            if piece.finish_reason:
                self._ends.put(None)


class App:
    """The whole engine, one streamed request a prompt."""

    def __init__(self, app: object, texts: list[str], tokens: int) -> None:
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://engine", timeout=None)
        self._texts, self._tokens = texts, tokens

    async def run(self) -> None:
        """Generate once."""
        await asyncio.gather(*map(self._one, self._texts))

    async def _one(self, text: str) -> None:
        body = {
            "messages": [{"role": "user", "content": text}],
            "max_tokens": self._tokens,
            "ignore_eos": True,
            "temperature": 0,
            "stream": True,
        }
        async with self._client.stream("POST", "/v1/chat/completions", json=body) as response:
            async for _ in response.aiter_bytes():
                pass


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="embedded:smollm2")
    parser.add_argument("--home", type=Path, default=default_home())
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    source, texts = resolve(args.source, args.home), prompts(args.streams)
    engine_args = {"dtype": args.dtype, "device": args.device, "max_batch_size": args.streams}
    engine = TransformersEngine(EngineSettings(model="m", source=source, engine_args=engine_args))
    work = (source, args.dtype, args.device, texts, args.tokens)
    ways = {
        "generate": Generate(*work),
        "scheduler": Batch(*work),
        "app": App(await engine.start(), texts, args.tokens),
    }
    own = {}
    if args.device == "cuda":
        own = {f"generate_batch{', graphs' * graphs}": GenerateBatch(*work, graphs=graphs) for graphs in (False, True)}
    ways |= own
    for way in ways.values():
        await way.run()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            await way.run()
            rates[name].append(args.streams * args.tokens / (time.perf_counter() - started))
    print(
        f"{args.streams} streams of {args.tokens} tokens, {args.dtype}, {args.device}, {args.threads} thread(s), "
        f"{args.rounds} rounds"
    )
    for name, rate in rates.items():
        ratio = statistics.median(tokens / base for tokens, base in zip(rate, rates["generate"], strict=True))
        each = ", ".join(f"{value:.0f}" for value in rate)
        print(f"{name:22} {statistics.median(rate):7.1f} tokens/s   {ratio:5.2f} of generate   ({each})")
    for way in own.values():
        way.stop()
    await ways["scheduler"].scheduler.stop()
    await engine.stop()


if __name__ == "__main__":
    asyncio.run(main())
