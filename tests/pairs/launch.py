"""A launcher as people write them: starts the worker as a child and passes its end on."""

import subprocess
import sys

sys.exit(subprocess.run([sys.executable, *sys.argv[1:]], close_fds=True, check=False).returncode)
