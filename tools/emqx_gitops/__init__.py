"""The command line of emqx-gitops: render, validate and set up EMQX clusters that live in Git."""
