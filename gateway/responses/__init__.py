"""Responses: conversations that the gateway remembers, and answers in the background."""
