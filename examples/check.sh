# What the `run` scripts of the numbered examples share: where things are, and how what is printed is checked.
# To be sourced from the folder of an example.
root=$(cd ../.. && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$root/$target ;; esac
target=$target/debug
export PATH="$root/.venv/bin:$PATH" VIRTUAL_ENV="$root/.venv"

(cd "$root" && cargo build --quiet -p examples)
[ -d ../node_modules ] || (cd .. && npm ci --ignore-scripts --no-audit --no-fund --silent)

# A runtime directory of our own, so that services of the user are neither met nor disturbed.
XDG_RUNTIME_DIR=$(mktemp -d)
export XDG_RUNTIME_DIR
unset PROCALL_LISTEN
service=""
end() {
  [ -z "$service" ] || kill -KILL "$service" 2>/dev/null || :
  rm -rf "$XDG_RUNTIME_DIR"
}
trap end EXIT

passed=0
failed=0

# check NAME EXPECTED COMMAND...: standard output is compared; standard error is shown when something is wrong.
check() {
  local name=$1 expected=$2 printed
  shift 2
  printed=$(timeout 120 "$@" 2>"$XDG_RUNTIME_DIR/said") || printed="$printed
it ended with $?"
  if [ "$printed" = "$expected" ]; then
    passed=$((passed + 1))
    echo "ok    $name"
  else
    failed=$((failed + 1))
    printf 'FAIL  %s\n%s\n' "$name" "$printed"
    cat "$XDG_RUNTIME_DIR/said"
  fi
}

# pairs TOPIC EXPECTED [CALLER]: the caller of every language with the worker of every language.
pairs() {
  local topic=$1 expected=$2 caller worker call
  for caller in ${3:-rust python node}; do
    case $caller in
      rust) call=("$target/$topic-caller") ;;
      python) call=(python python/caller.py) ;;
      node) call=(node node/caller.mjs) ;;
      *) echo "there is no caller $caller: rust, python or node" >&2; exit 2 ;;
    esac
    for worker in "$target/$topic-worker" python/worker.py node/worker.mjs; do
      check "$caller -> $(basename "$worker")" "$expected" "${call[@]}" "$worker"
    done
  done
}

total() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
