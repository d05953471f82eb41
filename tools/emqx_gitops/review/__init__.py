"""The review of a change: what a pull request will really do to the clusters that run."""
