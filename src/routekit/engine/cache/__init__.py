"""Answers that are there already: keys, look-ups, single flight, stale ones renewed."""
