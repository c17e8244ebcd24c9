"""Give folders to a user: `folders.py USER FOLDER…`. Run in the daemon set's pods, as root with `CHOWN` alone.

The kubelet makes a node's folders for root. Who is owner already is left alone, so this can be run at every start.
"""

import os
import sys
from pathlib import Path

user = int(sys.argv[1])
for folder in map(Path, sys.argv[2:]):
    if folder.stat().st_uid != user:
        folder.chmod(0o755)
        os.chown(folder, user, user)
