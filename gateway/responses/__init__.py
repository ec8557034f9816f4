"""Responses that outlive their request: conversations that the gateway remembers, and answers in the background.

What a response looks like is known in ``gateway.endpoints.responses``, not here.
"""
