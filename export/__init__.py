"""Export, the workstation side: data, models, training, judging, and the signed bundle that the box trusts."""
