"""HTTP as clients see it: bodies within bounds, one exchange, and the table of every error that can leave.

It knows neither models nor engines.
"""
