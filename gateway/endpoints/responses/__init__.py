"""``/v1/responses``: its ``body``, its ``items``, the ``turn`` that a response is, and the ``form`` of its answers."""
