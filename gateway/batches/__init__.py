"""Runs batches: line by line, on what the engines have to spare."""
