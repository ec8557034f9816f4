"""From a folder of documents to a table of passages.

``folder`` reads, ``splitting`` splits, ``indexer`` lets a model embed, and keeps what is new.
"""
