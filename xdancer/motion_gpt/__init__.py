"""Stage 2: cross-conditional autoregressive motion transformer."""
