"""Small models that providers, caches, strategies and guards share: weights, sentence and static embeddings."""
