"""A launcher as people write them: it starts the worker as a child, closes what it inherited, and passes its end on."""

import subprocess
import sys

sys.exit(subprocess.run([sys.executable, *sys.argv[1:]], close_fds=True, check=False).returncode)
