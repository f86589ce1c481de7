"""Secrets: keys, tokens and passwords, by the formats that vendors give them and by where they stand."""
