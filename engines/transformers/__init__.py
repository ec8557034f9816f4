"""Transformers: any causal language model of Hugging Face's library, batched continuously, on CPUs as well.

A request walks through the files in this order: ``app`` (routes), ``request`` (what may be asked), ``choices`` and
``sequence`` (what answers it), ``generation`` (as long as it does), ``scheduler`` (who is in the batch), ``model`` over
``cache`` and ``attention`` (the next logits), ``sampling`` (the next tokens), ``text`` (what of them can be shown) and
``answer`` (the API's shapes).
"""

from typing import Any

from ray.serve import Application

from engines.replica import application
from engines.transformers.engine import TransformersEngine


def build(args: dict[str, Any]) -> Application:
    """Return the Serve application of one Transformers model; see :func:`engines.replica.application`."""
    return application(TransformersEngine, args)
