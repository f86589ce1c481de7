"""Whether two questions that look alike ask for the same."""
