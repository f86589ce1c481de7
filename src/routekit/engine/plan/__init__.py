"""Who may be asked, and in which order."""
