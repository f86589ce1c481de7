"""Money: what is held, what was used, what was saved."""
