"""What an operator reads once the models answer."""

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.cli.readyz import ModelState

if TYPE_CHECKING:
    from gateway.config.schema import Config


def greeting(config: "Config", base_url: str, states: list[ModelState], first_key: str | None) -> str:
    """Return the base URL, the models, the first key if it has just been made, and a command to paste.

    Args:
        config: what runs.
        base_url: where it answers, without ``/v1``.
        states: the models' states.
        first_key: shown this once; ``None`` when the operator has the key already.
    """
    ready = [state.name for state in states if state.state == "ready"]
    lines = ["", f"Base URL  {base_url}/v1"]
    if grpc_port := config.gateway.grpc_port:
        lines.append(f"gRPC      {urlsplit(base_url).hostname}:{grpc_port}")
    lines.append(f"Models    {', '.join([*ready, *(it.name for it in config.aliases)])}")
    lines += [f"Failed    {state.name}: {state.detail}" for state in states if state.state == "failed"]
    if first_key:
        lines.append(f"API key   {first_key}  (shown only this once)")
    return "\n".join([*lines, "", curl(base_url, ready[0], first_key or "$RAYGATE_API_KEY"), "", "Ctrl-C stops it."])


def curl(base_url: str, model: str, key: str) -> str:
    """Return a first request as a line for a shell."""
    question = [{"role": "user", "content": "What is the capital of France?"}]
    body = json.dumps({"model": model, "messages": question, "temperature": 0})
    return (
        f'curl {base_url}/v1/chat/completions -H "Authorization: Bearer {key}"'
        f" -H 'Content-Type: application/json' -d '{body}'"
    )
