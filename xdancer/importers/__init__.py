"""Motion of other kinds as shards."""
