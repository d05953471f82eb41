"""Will it cluster, and what may it do: the links, the permissions, and how the command line tells them."""
