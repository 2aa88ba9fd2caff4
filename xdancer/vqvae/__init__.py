"""Stage 1: compositional, confidence-aware pose tokenizer."""
