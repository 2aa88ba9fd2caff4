"""Lightning data modules: wiring between shards and the three stages."""
