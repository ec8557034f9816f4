"""How long a prompt is, before an engine has counted: tokens, templates, byte pairs, and the models' own files.

It loads no model, and its figures only reserve; they never bill what an engine has counted.
"""
