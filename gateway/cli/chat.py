"""``raygate chat``: a conversation in the terminal, through the openai SDK as any client would have it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import DEFAULT_BASE_URL, MISTAKE, ApiKey, BaseUrl, fail

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletionMessageParam

Model = Annotated[str | None, typer.Option("--model", "-m", help="Which model.", show_default="the first one listed")]
Temperature = Annotated[float, typer.Option(min=0, max=2, help="0 for the likeliest words; more for more variety.")]
Prompt = Annotated[str | None, typer.Argument(metavar="[PROMPT]", help="One question; without it, a conversation.")]


def chat(
    prompt: Prompt = None,
    model: Model = None,
    temperature: Temperature = 0.0,
    api_key: ApiKey = "",
    base_url: BaseUrl = DEFAULT_BASE_URL,
) -> None:
    """Talk to a model; the answer streams.

    Example: RAYGATE_API_KEY=sk-... raygate chat -m smollm2 "What is the capital of France?"
    """
    if not api_key:
        fail("Set RAYGATE_API_KEY, or pass --api-key; 'raygate keys create NAME' makes a key.", MISTAKE)
    from openai import APIError, OpenAI

    client = OpenAI(base_url=f"{base_url.rstrip('/')}/v1", api_key=api_key, max_retries=0)
    messages: list[ChatCompletionMessageParam] = []
    try:
        model = model or next(iter(client.models.list())).id
        for question in [prompt] if prompt else _questions(model):
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": _answer(client, model, messages, temperature)})
    except APIError as error:
        fail(error.message)


def _questions(model: str) -> Iterator[str]:
    typer.echo(f"Talking to {model}. Ctrl-D ends.")
    while True:
        try:
            question = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if question:
            yield question


def _answer(client: "OpenAI", model: str, messages: "list[ChatCompletionMessageParam]", temperature: float) -> str:
    """Show an answer while it comes; Ctrl-C cuts it short."""
    said = ""
    asking = client.chat.completions.create(model=model, messages=messages, temperature=temperature, stream=True)
    with asking as stream:
        try:
            for chunk in stream:
                text = chunk.choices[0].delta.content or "" if chunk.choices else ""
                typer.echo(text, nl=False)
                said += text
        except KeyboardInterrupt:
            pass
    typer.echo()
    return said
