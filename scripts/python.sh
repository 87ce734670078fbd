#!/usr/bin/env bash
# Prints the path of a Python interpreter that has the packages of scripts/requirements.txt (with `tools`, of
# scripts/requirements-tools.txt; with `emulator`, of scripts/bigquery/requirements.txt; with `bench`, of
# scripts/bench/requirements.txt), after making its environment in the cache when it is not there yet:
#   "$(scripts/python.sh)" -c 'import duckdb; print(duckdb.__version__)'
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${STOWAGE_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or STOWAGE_CACHE}/.cache}/stowage}/python

say() { printf 'python: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

case ${1:-} in
  '') name=readers requirements=$root/scripts/requirements.txt ;;
  tools) name=tools requirements=$root/scripts/requirements-tools.txt ;;
  bench) name=bench requirements=$root/scripts/bench/requirements.txt ;;
  emulator) name=emulator requirements=$root/scripts/bigquery/requirements.txt ;;
  -h | --help) sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}"; exit 0 ;;
  *) say "unknown argument '$1': there are only 'tools', 'bench' and 'emulator'"; exit 2 ;;
esac

# A changed list of packages is a new environment.
sum=$(sha256sum "$requirements")
home=$cache/$name-${sum::12}
if [ ! -f "$home/.complete" ]; then
  python3 -c 'import ensurepip, venv' 2>/dev/null || die "Python 3 with venv is needed. Debian: apt-get install python3-venv"
  mkdir -p "$cache" 2>/dev/null || die "the folder $cache cannot be made; set STOWAGE_CACHE"
  exec 9>"$cache/lock"
  flock -w 600 9 || die "another python.sh has been holding $cache/lock for 10 minutes"
fi
if [ ! -f "$home/.complete" ]; then
  say "installing $(grep -v '^#' "$requirements" | paste -sd ' ') into $home"
  rm -rf "$home"
  { python3 -m venv "$home" && "$home/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r "$requirements"; } \
    >"$home.log" 2>&1 9>&- || die "that failed ($(tail -n 1 "$home.log" | cut -c 1-300)), see $home.log"
  rm -f "$home.log"
  touch "$home/.complete"
fi
echo "$home/bin/python"
