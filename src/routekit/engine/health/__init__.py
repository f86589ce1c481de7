"""What is known of each deployment: limits, failures, latency, and those who wait for it."""
