"""The operator's YAML: read with its lines, checked, compiled to Ray Serve's form and to what a replica is told.

It starts nothing and asks nobody: everything here works offline.
"""
