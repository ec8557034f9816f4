"""The ``raygate`` command, one file a noun."""
