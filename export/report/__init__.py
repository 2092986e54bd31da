"""The report: one HTML file that tells a model's data, training, judgement, errors and cost, and needs nothing else."""
