"""Which models exist, which are ready, and which replica answers.

Only ``replicas`` knows Ray's private parts. Nothing here knows keys or limits.
"""
