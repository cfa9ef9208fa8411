"""Other people's formats: checkpoints in and out, and the well-known listings that keep working on our models."""
