# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used where this is sourced
# Sourced by every script: where things are, which tools are pinned, how progress is told.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TOOLS=${WRIT_TOOLS:-$HOME/.cache/writ}

WORKER_BUILD=0.8.7
CARGO_DENY=0.20.2
CARGO_MACHETE=0.9.2
SHELLCHECK=0.11.0.1
# The command line tool and the crate speak a private format, so their versions must be equal.
WASM_BINDGEN=$(awk '/^name = "wasm-bindgen"$/ { getline; gsub(/[^0-9.]/, ""); print }' "$ROOT/Cargo.lock" 2>/dev/null || true)

# Node 22 and the pinned JavaScript tools come before whatever the machine has.
export PATH="$ROOT/node_modules/.bin:$PATH"
export WRANGLER_SEND_METRICS=false WRANGLER_SEND_ERROR_REPORTS=false WRANGLER_HIDE_BANNER=true
# Wrangler and Miniflare are large: do not parse them anew each time, do not ask the network where this machine is.
export CLOUDFLARE_CF_FETCH_ENABLED=false
export NODE_COMPILE_CACHE="$TOOLS/node-compile-cache"

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf '\033[31m%s\033[0m\n' "$*" >&2; exit 1; }
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

# slowly WHAT COMMAND…: says what it waits for, gives a sign of life, shows the output only when it fails.
slowly() {
  local what=$1 log start=$SECONDS pid next=15
  shift
  say "$what"
  log=$(mktemp)
  "$@" >"$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - start >= next)); then
      printf '  %3d s  %s\n' "$((SECONDS - start))" "$(tail -n 1 "$log" | tr -d '\r' | cut -c 1-80)" >&2
      next=$((next + 15))
    fi
  done
  if ! wait "$pid"; then
    tail -n 60 "$log" >&2
    rm -f "$log"
    die "Failed: $what"
  fi
  rm -f "$log"
}
