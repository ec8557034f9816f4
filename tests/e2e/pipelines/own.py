"""A pipeline of an operator's own."""

from collections.abc import AsyncGenerator

from engines.pipeline import ChatRequest, Delta, Models, Pipeline


class Signed(Pipeline):
    """Lets a model write, and signs what it wrote."""

    async def answer(self, request: ChatRequest, models: Models) -> AsyncGenerator[Delta, None]:
        async for delta in models.chat("writer", request.body):
            yield delta
        yield Delta(f" {self.settings.engine_args['signature']}")
