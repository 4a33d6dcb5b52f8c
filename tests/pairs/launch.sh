#!/bin/sh
# A launcher as people write them: a child of the shell, not the shell itself.
"$@"
exit $?
