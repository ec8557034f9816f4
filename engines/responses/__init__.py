"""The Responses API in front of any app that answers chat completions: stateless, one contract for every engine."""

from engines.responses.layer import with_responses

__all__ = ["with_responses"]
