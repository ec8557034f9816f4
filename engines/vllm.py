"""vLLM: its engine in a process of its own, and its own OpenAI app mounted as it is.

Whatever vLLM can do (tools, structured outputs, logprobs, reasoning, embeddings) is there without a line of ours.
"""

import asyncio
import difflib
import os
from argparse import Namespace
from functools import partial
from typing import Any

from ray.serve import Application
from starlette.types import ASGIApp

from engines.base import Engine, EngineSettings, EngineStartError, Load, Used
from engines.embedded import resolve
from engines.failure import StartLog, root_cause
from engines.leaving import told_before_cancelled
from engines.replica import application
from engines.responses import with_responses
from engines.used import count_with

UNBOUND = "nobind"
"""What vLLM calls it when its threads may run on any core."""

CPU_DEFAULTS = {
    # GiB; vLLM's own default would take 4 on machines of any size.
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Replicas on one machine would all bind themselves to the same first cores.
    "VLLM_CPU_OMP_THREADS_BIND": UNBOUND,
}
"""What an engine on CPUs is told unless the environment says otherwise."""


POOLING = frozenset({"embed", "score"})
"""The tasks for which vLLM computes one result of a whole text."""


class VllmEngine(Engine):
    """One ``AsyncLLM`` behind vLLM's app. ``engine_args`` are vLLM's own, with underscores for dashes."""

    kind = "vllm"
    takes_cache_salt = True

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self._client: Any = None
        self._waiting = 0

    async def start(self) -> ASGIApp:
        """Start vLLM and return its app."""
        log = StartLog.here()
        try:
            return await self._start()
        except EngineStartError:
            raise
        except Exception as error:
            # The cause is often in the log of vLLM's core process, and the exception only says where to look.
            raise EngineStartError(log.last_cause() or root_cause(error)) from error

    async def _start(self) -> ASGIApp:
        for name, value in _environment(self.settings).items():
            os.environ.setdefault(name, value)
        if not self.settings.source:
            raise EngineStartError("source: a model on vLLM needs one: embedded:NAME, a folder, or a hub id")
        source = await asyncio.to_thread(resolve, self.settings.source, self.settings.home)
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.entrypoints.launchers.api_server.app_state import init_app_state
        from vllm.entrypoints.launchers.app import build_app
        from vllm.v1.engine.async_llm import AsyncLLM

        args = _server_args(self.settings, source)
        config = await asyncio.to_thread(AsyncEngineArgs.from_cli_args(args).create_engine_config)
        self._client = AsyncLLM.from_vllm_config(config, stat_loggers=[self._stat_logger()])
        _count_requests(self._client.output_processor)
        tasks = await self._client.get_supported_tasks()
        app = build_app(args, tasks, self._client.model_config)
        await init_app_state(self._client, app.state, args, tasks)
        return told_before_cancelled(with_responses(app))

    def load(self) -> Load:
        """Return the requests that vLLM has not finished, less those that its scheduler holds back."""
        unfinished = self._client.get_num_unfinished_requests()
        waiting = min(self._waiting, unfinished)
        return Load(running=unfinished - waiting, waiting=waiting)

    async def check_health(self) -> None:
        """Raise when vLLM's core process is dead."""
        await self._client.check_health()

    async def stop(self) -> None:
        """End vLLM's core process."""
        if self._client is not None:
            self._client.shutdown(timeout=5)

    def _stat_logger(self) -> Any:
        from vllm.v1.metrics.loggers import StatLoggerBase

        engine = self

        class Waiting(StatLoggerBase):  # type: ignore[misc]
            def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
                del vllm_config, engine_index

            def record(self, scheduler_stats: Any, *_: Any, **__: Any) -> None:
                if scheduler_stats is not None:
                    engine._waiting = scheduler_stats.num_waiting_reqs

            def log_engine_initialized(self) -> None:
                pass

        return Waiting


def _count_requests(processor: Any) -> None:
    """Let each request be counted by vLLM's own state of it, which an abort leaves as it is."""
    add_request = processor.add_request

    def add_counted(request: Any, *args: Any, **kwargs: Any) -> None:
        add_request(request, *args, **kwargs)
        count_with(partial(_used_by, processor.request_states[request.request_id]))

    processor.add_request = add_counted


def _used_by(state: Any) -> Used:
    tokens = state.detokenizer.num_output_tokens() if state.detokenizer else 0
    if state.request_index:  # a further choice of the same prompt
        return Used(completion_tokens=tokens)
    return Used(state.prompt_len, tokens, state.num_cached_tokens)


def _environment(settings: EngineSettings) -> dict[str, str]:
    """Return what vLLM reads from its environment, for whatever is not set there already."""
    defaults = {**CPU_DEFAULTS, "VLLM_NO_USAGE_STATS": "1"}
    if os.environ.get("VLLM_CPU_OMP_THREADS_BIND", UNBOUND) == UNBOUND:
        # The model runs in the core's own process; only to bind threads does vLLM 0.32 need another one on CPUs.
        # While that works, the core waits for it in a busy loop: a second core, and a sixth of the tokens/s on two.
        defaults["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    if settings.engine_args.get("enforce_eager"):
        # vLLM still compiles its sampling helpers, when a request first needs them: that request waits 15 s.
        defaults["TORCH_COMPILE_DISABLE"] = "1"
    return defaults


def _server_args(settings: EngineSettings, source: str) -> Namespace:
    """Return what ``vllm serve`` would have parsed from its command line.

    Raises:
        EngineStartError: for an argument that vLLM does not know.
    """
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    args: Namespace = make_arg_parser(FlexibleArgumentParser()).parse_args([])
    for name, value in settings.engine_args.items():
        if not hasattr(args, name):
            near = difflib.get_close_matches(name, vars(args), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise EngineStartError(f"engine_args.{name}: vLLM has no such argument{hint}")
        setattr(args, name, value)
    args.model = source
    if "tool_strict_level" not in settings.engine_args:
        # Otherwise a call that is required may have arguments that are no object at all.
        args.tool_strict_level = "parameter"
    if settings.task in POOLING:
        args.runner = "pooling"
    args.served_model_name = [settings.model]
    args.enable_prompt_tokens_details = True
    args.disable_fastapi_docs = True
    try:
        validate_parsed_serve_args(args)
    except (TypeError, ValueError) as error:
        raise EngineStartError(f"engine_args: {error}") from error
    return args


def build(args: dict[str, Any]) -> Application:
    """Return the Serve application of one vLLM model; see :func:`engines.replica.application`."""
    return application(VllmEngine, args)
