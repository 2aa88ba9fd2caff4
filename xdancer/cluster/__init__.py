"""SLURM: the batch script filled in (script) · handed to sbatch, in chains and arrays (jobs) · has the stage before ended (upstream)."""
