"""``POST /v1/responses``: fields as in OpenAI's API reference, and the chat request that they come to."""

from typing import Annotated, Any, Literal

from pydantic import Field

from engines.responses.items import Json, messages_of
from engines.responses.refusal import UNSUPPORTED, Checked, Refusal, checked

_LOGPROBS = "message.output_text.logprobs"


class Text(Checked):
    """``text``: the form of the answer. ``format`` is handed to the chat in its own shape."""

    format: Json | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Checked):
    """``reasoning``."""

    effort: str | None = None


class FunctionTool(Checked):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class FunctionChoice(Checked):
    """The function that the model must call."""

    type: Literal["function"]
    name: str


class StreamOptions(Checked):
    """``stream_options``."""

    include_obfuscation: bool | None = None


class JsonSchemaFormat(Checked):
    """``text.format`` of type ``json_schema``."""

    name: str
    schema_: Json = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class Request(Checked):
    """A request. What the API has and no field below stands for is in ``_STATE`` or has no effect here."""

    model: str | None = None
    input: str | list[Any] = Field(min_length=1)
    instructions: str | None = None
    max_output_tokens: int | None = Field(default=None, ge=1, le=2**31)
    max_tool_calls: int | None = Field(default=None, ge=1)
    metadata: dict[str, str] | None = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None
    reasoning: Reasoning | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    text: Text | None = None
    tool_choice: Literal["none", "auto", "required"] | Json | None = None
    tools: list[Json] | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None
    include: list[str] | None = None

    @property
    def wants_logprobs(self) -> bool:
        """Whether the answer tells its tokens' log-probabilities."""
        return bool(self.top_logprobs) or _LOGPROBS in (self.include or ())


_STATE = frozenset({"background", "conversation", "previous_response_id", "prompt"})
"""Fields that need a memory, which is not the engine's: the gateway resolves what it can of them."""

_HERE = frozenset({*Request.model_fields, *_STATE, "prompt_cache_options", "prompt_cache_retention", "store"})
"""Fields of the API; all others are the chat's own."""


def parse(body: Any) -> tuple[Request, Json]:
    """Return a request, and the chat request that answers it.

    Raises:
        Refusal: naming the field that is wrong, or that this model cannot honour.
    """
    request = checked(Request, body)
    for name in sorted(_STATE):
        if body.get(name):
            raise Refusal(f"'{name}' is not supported here.", name, UNSUPPORTED)
    if request.truncation == "auto":
        raise Refusal("No input is left out here: 'truncation' can only be 'disabled'.", "truncation", UNSUPPORTED)
    chat = {name: value for name, value in body.items() if name not in _HERE}
    chat["messages"] = messages_of(request.instructions, request.input)
    for name, value in _settings(request).items():
        if value is not None:
            chat[name] = value
    return request, chat


def _settings(request: Request) -> Json:
    return {
        "model": request.model,
        "max_completion_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "reasoning_effort": request.reasoning and request.reasoning.effort,
        "response_format": _response_format(request.text),
        "stream": request.stream,
        "stream_options": {"include_usage": True} if request.stream else None,
        "logprobs": request.wants_logprobs or None,
        "top_logprobs": request.top_logprobs or None,
        **_tools(request),
    }


def _tools(request: Request) -> Json:
    choice = _tool_choice(request.tool_choice)
    if not request.tools:
        return {} if choice in {None, "auto", "none"} else {"tool_choice": choice}
    return {
        "tools": [_tool(tool, f"tools.{place}") for place, tool in enumerate(request.tools)],
        "tool_choice": choice,
        "parallel_tool_calls": request.parallel_tool_calls,
    }


def _tool(tool: Json, where: str) -> Json:
    if tool.get("type") != "function":
        raise Refusal("The model has no tools of its own, only functions.", f"{where}.type", UNSUPPORTED)
    return {"type": "function", "function": checked(FunctionTool, tool, where).model_dump(exclude_none=True)}


def _tool_choice(choice: Any) -> Any:
    if not isinstance(choice, dict):
        return choice
    if choice.get("type") != "function":
        raise Refusal("The model can only be made to call a function.", "tool_choice.type", UNSUPPORTED)
    return {"type": "function", "function": {"name": checked(FunctionChoice, choice, "tool_choice").name}}


def _response_format(text: Text | None) -> Json | None:
    if text is None:
        return None
    if text.verbosity not in {None, "medium"}:
        raise Refusal("The model's verbosity cannot be set.", "text.verbosity", UNSUPPORTED)
    match (text.format or {}).get("type", "text"):
        case "text":
            return None
        case "json_object":
            return {"type": "json_object"}
        case "json_schema":
            schema = checked(JsonSchemaFormat, text.format, "text.format")
            return {"type": "json_schema", "json_schema": schema.model_dump(by_alias=True, exclude_none=True)}
        case _:
            raise Refusal("The answer can be text, json_object or json_schema.", "text.format.type")
