# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used where this is sourced
# Sourced by every script: where things are, which tools are pinned, how progress is told.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TOOLS=${WRIT_TOOLS:-$HOME/.cache/writ}

CARGO_DENY=0.20.2
CARGO_SHEAR=1.14.0
SHELLCHECK=0.11.0.1
# What is built with it depends on all of it, so a change has a name of its own.
BINDGEN=$TOOLS/bindgen-$(cat "$ROOT"/scripts/bindgen/{Cargo.toml,Cargo.lock,main.rs} | cksum | cut -d ' ' -f 1)/bindgen
CHROMIUM=${WRIT_CHROMIUM:-/usr/bin/chromium}

# Node 22 and the pinned JavaScript tools come before whatever the machine has.
export PATH="$ROOT/node_modules/.bin:$PATH"
export WRANGLER_SEND_METRICS=false WRANGLER_SEND_ERROR_REPORTS=false WRANGLER_HIDE_BANNER=true
# Wrangler and Miniflare are large: do not parse them anew each time, do not ask the network where this machine is.
export CLOUDFLARE_CF_FETCH_ENABLED=false
export NODE_COMPILE_CACHE="$TOOLS/node-compile-cache"

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf '\033[31m%s\033[0m\n' "$*" >&2; exit 1; }
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

# slowly STEP WHAT COMMAND…: says what it waits for and how far it is, shows the output only when it fails. STEP is its number where a
# script has said how many there are (STEPS), else of no interest.
slowly() {
  local step=$1 what=$2 log start=$SECONDS pid next=30 far
  shift 2
  [[ -z ${STEPS:-} ]] || what="$step/$STEPS  $what"
  if [[ -t 2 ]]; then printf '%s …' "$what" >&2; else printf '%s …\n' "$what" >&2; fi
  log=$(mktemp)
  CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=100 "$@" >"$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    # Cargo counts what it compiles.
    if [[ -t 2 ]]; then
      far=$(tail -c 2000 "$log" | tr '\r' '\n' | sed -n 's|.*[] ] *\([0-9]\{1,\}\)/\([0-9]\{1,\}\).*|, \1 of \2|p' | tail -n 1)
      printf '\r\033[K%s … %d s%s' "$what" "$((SECONDS - start))" "$far" >&2
    elif ((SECONDS - start >= next)); then
      printf '     … %d s\n' "$((SECONDS - start))" >&2
      next=$((next + 30))
    fi
  done
  if ! wait "$pid"; then
    printf '\n' >&2
    tr '\r' '\n' <"$log" | grep -v '\] [0-9]*/[0-9]*' | tail -n 60 >&2
    rm -f "$log"
    die "Failed: $what"
  fi
  rm -f "$log"
  if [[ -t 2 ]]; then printf '\r\033[K%s: %d s\n' "$what" "$((SECONDS - start))" >&2; fi
}
