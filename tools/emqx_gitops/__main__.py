"""`python -m emqx_gitops`."""

from emqx_gitops.cli import main

main()
