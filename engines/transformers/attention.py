"""Attention for a batch whose rows are at different positions; registered with Transformers under :data:`SLOTS`.

Transformers' own masks know one query offset for all rows. Here it is a tensor, one offset a row, and the model's own
mask rule (causal, sliding window, chunked) is evaluated on it: so no row needs padding on the left.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from engines.base import EngineStartError

SLOTS = "raygate_slots"


def slot_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: Tensor,
    mask_function: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    **_: Any,
) -> Tensor:
    """Return which key each query may see, as booleans of shape [batch, 1, queries, keys]."""
    device = q_offset.device
    queries = q_offset[:, None] + torch.arange(q_length, device=device)
    mask = mask_function(
        torch.arange(batch_size, device=device)[:, None, None, None],
        torch.zeros(1, 1, 1, 1, dtype=torch.long, device=device),
        queries[:, None, :, None],
        torch.arange(kv_length, device=device)[None, None, None, :],
    )
    return mask.expand(batch_size, 1, q_length, kv_length)


def slot_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend with the queries of a group side by side, which spares a copy of keys and values for each of them.

    Raises:
        EngineStartError: for models whose attention has soft caps or sinks; their first run is at the start.
    """
    del module
    if options.get("softcap") is not None or options.get("s_aux") is not None:
        raise EngineStartError(
            "The transformers engine serves no attention with soft caps or sinks; this model has them."
        )
    batch, heads, queries, dim = query.shape
    groups = heads // key.shape[1]
    grouped = query.reshape(batch, key.shape[1], groups * queries, dim)
    mask = attention_mask if queries == 1 else attention_mask.repeat(1, 1, groups, 1)
    output = scaled_dot_product_attention(grouped, key, value, attn_mask=mask, scale=scaling)
    return output.reshape(batch, heads, queries, -1).transpose(1, 2).contiguous(), None


AttentionInterface.register(SLOTS, slot_attention)
AttentionMaskInterface.register(SLOTS, slot_mask)
