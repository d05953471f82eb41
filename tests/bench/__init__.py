"""How long the function takes, against what cannot be avoided."""
