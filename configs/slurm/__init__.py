"""Scripts for SLURM's sbatch, and ``lightning submit``, which fills them in."""
