"""WebDataset shards of dance clips: manifest, writer, reader, windows."""
