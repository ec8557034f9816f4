"""A request's life, from the key to the ledger: ``life`` reads as the sentence, each other file is one of its words.

It never parses an endpoint's fields, and knows no route.
"""
