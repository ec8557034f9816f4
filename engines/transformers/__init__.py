"""Transformers: any causal language model of Hugging Face's library, batched continuously, and encoders.

A request walks through the files in this order: ``app`` and ``generating`` (routes), ``request`` with ``messages``,
``tools`` and ``response_format`` (what may be asked), ``prompt`` and ``tokenizer`` (how the model is told), ``choices``
and ``sequence`` (what answers it), ``compiler`` and ``guide`` (what form it must have), ``generation`` (as long as it
does), ``scheduler`` (who is in the batch), ``model`` over ``cache`` and ``attention`` (the next logits), ``sampling``
(the next tokens), ``text`` and ``calls`` (what of them can be shown) and ``answer`` (the API's shapes).

Embeddings walk through ``embedding``, ``batcher`` and ``encoder``.
"""

from typing import Any

from ray.serve import Application

from engines.replica import application
from engines.transformers.engine import TransformersEngine


def build(args: dict[str, Any]) -> Application:
    """Return the Serve application of one Transformers model; see :func:`engines.replica.application`."""
    return application(TransformersEngine, args)
