"""Settings that all tests share."""

from hypothesis import settings

# Shared machines are slow at times; what a property test finds does not depend on how long it took.
settings.register_profile("raygate", deadline=None)
settings.load_profile("raygate")
