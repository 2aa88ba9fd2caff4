"""The evaluation folder: generated and true dances left on disk so that anyone can recompute the tables."""
