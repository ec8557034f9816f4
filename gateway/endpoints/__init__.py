"""What can be asked of a model: one file an endpoint family, with its body, its bounds and the form of its answers.

It turns a body into a ``Call``; it never sends one.
"""
