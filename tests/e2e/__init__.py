"""What starts and asks a control plane is shared with tests/cluster."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
