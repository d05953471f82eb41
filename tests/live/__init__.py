"""What needs a kubeconfig and nothing else."""
