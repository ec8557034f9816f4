"""The ``raygate`` command, one file a noun. It never runs inside a gateway replica."""
