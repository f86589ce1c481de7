"""What is known of models and endpoints: limits, abilities, prices."""
