"""Candidates tried in order until one answers."""
