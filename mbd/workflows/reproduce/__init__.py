"""Rebuild what a certificate claims from retained data, as data moves through these modules:

files, buckets (a copy that somebody else made) -> openings (receipt or escrow) -> forget_set ->
data (records, rows, sums) -> released (files of the model) -> database, later, history (what the
ledger says) -> doubts (accuse, or not) -> forgotten, heads, commitments, service (what must hold)
-> words -> reproducer.
"""

from mbd.workflows.reproduce.reproducer import make_reproducer

__all__ = ["make_reproducer"]
