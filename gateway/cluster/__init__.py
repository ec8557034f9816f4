"""The processes around a gateway: Ray and Serve's, HAProxy's, what they are told, and what must be there first.

No request passes through here. ``python -m gateway.cluster`` is the process that runs Ray.
"""
