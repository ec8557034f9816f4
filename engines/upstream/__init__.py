"""Any OpenAI-compatible server elsewhere: whatever it sends becomes the canonical form that ``engines.base`` states."""

from engines.upstream.args import UpstreamArgs
from engines.upstream.engine import UpstreamEngine, build

__all__ = ["UpstreamArgs", "UpstreamEngine", "build"]
