"""Is everything there that xdancer needs: one room behind `xdancer doctor`, one file per area, each giving findings."""
