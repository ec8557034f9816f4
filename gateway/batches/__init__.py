"""Runs batches: line by line, on what the engines have to spare.

Lines are answered as any request is; no limit, price or key is looked up in a way of its own.
"""
