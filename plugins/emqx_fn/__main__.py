"""`python -I plugins/emqx_fn KIND [CONFIG]`: what the launchers start, isolated from the user's Python environment."""

import os
import sys

# Run as a folder, Python puts the folder itself on the path; the package is found from its parent.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from emqx_fn.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
