"""Stage 3: tokens and a portrait in, video out."""
