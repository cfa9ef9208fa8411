"""Latents to pictures: classes by name, the sampler, the pipeline users hold, sheets and films, recipes."""
