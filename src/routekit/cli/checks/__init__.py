"""What ``routekit doctor`` and ``config check`` look at."""
