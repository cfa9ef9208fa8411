"""The two networks, what they are made of, their statistics, and a model on disk."""
