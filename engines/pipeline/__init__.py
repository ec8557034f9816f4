"""Pipelines: a class of the operator's that answers chats with the help of other models of the cluster.

A request walks through the files in this order: ``engine`` (the route), ``chat`` (what is asked), the pipeline's own
class (``base`` is its contract, ``retrieval`` one that comes with Raygate), ``models`` (what it may ask), ``handles``
(how they are reached), and ``answer`` (the API's shapes).
"""

from typing import Any

from ray.serve import Application

from engines.pipeline.base import Pipeline
from engines.pipeline.chat import ChatRequest, Citation, Delta, Message
from engines.pipeline.engine import PipelineEngine
from engines.pipeline.errors import ApiError
from engines.pipeline.models import Models
from engines.replica import application

__all__ = ["ApiError", "ChatRequest", "Citation", "Delta", "Message", "Models", "Pipeline", "build"]


def build(args: dict[str, Any]) -> Application:
    """Return the Serve application of one pipeline; see :func:`engines.replica.application`."""
    return application(PipelineEngine, args)
