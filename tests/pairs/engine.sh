#!/usr/bin/env bash
# A worker that is registered with an engine of its own, and a caller that finds it there.
#
#   ./engine.sh PROCALL WORKER CALLER...
set -euo pipefail
procall=$1 worker=$2
shift 2
XDG_RUNTIME_DIR=$(mktemp -d)
export XDG_RUNTIME_DIR PROCALL_ENGINE=engine
started=()
end() {
  [ ${#started[@]} -eq 0 ] || kill -KILL "${started[@]}" 2>/dev/null || :
  # Of whoever is killed here, nothing is to be said.
  wait 2>/dev/null || :
  rm -rf "$XDG_RUNTIME_DIR"
}
trap end EXIT

"$procall" serve --listen tcp:127.0.0.1:0 2>/dev/null &
started+=($!)
# The worker waits for the engine, and the caller for the worker.
case $worker in
  *.py) python "$worker" & ;;
  *.mjs) node "$worker" & ;;
  *) "$worker" & ;;
esac
started+=($!)
"$@" engine
