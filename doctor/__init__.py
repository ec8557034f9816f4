"""The wire contract as data: checks that any OpenAI-compatible server can be held against, over plain HTTP.

One file a family of checks; :mod:`doctor.lines` has the sentences that they prove. ``raygate doctor`` runs
them against a server, ``tests/contract/`` against every engine.
"""
