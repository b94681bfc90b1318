"""Experiments that a sceptic believes: seeds, records, statistics, claims, pictures."""
