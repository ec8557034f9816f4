"""A conversation with tools, for chat templates that know none.

The functions, and how to call them, are told at the end of the system message; calls are written into the assistant's
text, and results are told by the user.
"""

import json
from collections.abc import Sequence
from typing import Any

from engines.transformers.tools import CLOSE, OPEN

Json = dict[str, Any]

INSTRUCTION = f"""\
You may call functions. These are their names and parameters, as JSON schemas:
<tools>
{{tools}}
</tools>
To call one, answer with its name and its arguments:
{OPEN}
{{{{"name": NAME, "arguments": ARGUMENTS}}}}
{CLOSE}"""


def in_plain_words(messages: Sequence[Json], tools: Sequence[Json]) -> list[Json]:
    """Return the conversation in messages of system, user and assistant, each with a text.

    Args:
        messages: with the assistant's calls and the tools' results.
        tools: which functions may be called, in the API's form.
    """
    plain = [_plain(message) for message in messages]
    if not tools:
        return plain
    instruction = INSTRUCTION.format(tools="\n".join(json.dumps(tool["function"]) for tool in tools))
    if plain[0]["role"] == "system":
        system, *rest = plain
        return [{**system, "content": f"{system['content']}\n\n{instruction}"}, *rest]
    return [{"role": "system", "content": instruction}, *plain]


def _plain(message: Json) -> Json:
    match message:
        case {"role": "tool", "content": content}:
            return {"role": "user", "content": f"<tool_response>\n{content}\n</tool_response>"}
        case {"tool_calls": calls, "content": content}:
            written = [f"{OPEN}\n{json.dumps(call['function'])}\n{CLOSE}" for call in calls]
            return {"role": "assistant", "content": "\n".join(filter(None, [content, *written]))}
        case _:
            return message
