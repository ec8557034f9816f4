"""The contract of a pipeline: a class that answers chats with the help of other models of the cluster.

Clients see a model like any other. Write a class::

    from engines.pipeline import ChatRequest, Delta, Models, Pipeline


    class Signed(Pipeline):
        async def answer(self, request: ChatRequest, models: Models) -> AsyncGenerator[Delta, None]:
            rule = {"role": "system", "content": "Answer in one sentence."}
            async for delta in models.chat("writer", {**request.body, "messages": [rule, *request.messages]}):
                yield delta
            yield Delta(f" {self.settings.engine_args['signature']}")

and name it in the configuration, with the models that it asks by the roles that they have in it::

    models:
      - {name: smollm2, engine: vllm, source: "embedded:smollm2"}
      - name: signed
        engine: pipeline
        engine_args: {class: "shop.signed:Signed", models: {writer: smollm2}, signature: "Yours, the shop."}

What is done for it: the API's shapes, whole and streamed alike; the sum of the tokens that all models used; the errors
of those models, which pass through; the end of their work when the client leaves; a span for each call and each step.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator

from engines.base import EngineSettings
from engines.pipeline.chat import ChatRequest, Delta
from engines.pipeline.models import Models


class Pipeline(ABC):
    """Answers chats. One instance serves all requests of a replica, at the same time.

    Attributes:
        settings: the model's entry in the configuration, with the class's own ``engine_args``.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings

    async def start(self) -> None:  # noqa: B027 - most pipelines have nothing to load
        """Load what requests need, before the first of them.

        Raises:
            EngineStartError: with the cause in one line, when the pipeline cannot serve.
        """

    @abstractmethod
    def answer(self, request: ChatRequest, models: Models) -> AsyncGenerator[Delta, None]:
        """Yield the answer, part by part. It must not block: other answers wait meanwhile.

        Args:
            request: what the client asks.
            models: the models that ``engine_args.models`` names.

        Raises:
            ApiError: what the client is told in place of the rest of the answer. Anything else is a 500, whose type
                and place are logged, and never its message.
        """

    async def stop(self) -> None:  # noqa: B027 - most pipelines end with their process
        """Free what ``start`` took."""
