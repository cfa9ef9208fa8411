"""Images → numbers: feature networks, each with its name, hash and preprocessing."""
