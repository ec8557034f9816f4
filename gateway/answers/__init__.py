"""An engine's bytes on their way back to the client: relayed, read for their end and usage, and mended.

It never asks an engine, and never decides who may.
"""
