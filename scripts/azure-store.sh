#!/usr/bin/env bash
# An Azure Blob server on the loopback address, for tests and development. See `azure-store.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=3.37.0
account=devstoreaccount1
# The one that everybody knows.
key='Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='

usage() {
  cat <<'HELP'
An Azure Blob server for development (Azurite, over a folder), reached on 127.0.0.1 only.

  scripts/azure-store.sh up              install once (370 MB), start, wait until ready; prints STOWAGE_TEST_AZURE=http://host:port/account
  scripts/azure-store.sh down [--wipe]   stop; --wipe removes the data as well
  scripts/azure-store.sh status          one line; exit status 1 unless it runs

Each command may be given twice. Progress goes to standard error, so this works in a shell:
  export "$(scripts/azure-store.sh up)"

Account and key are Azurite's own (devstoreaccount1), the container is called lake. With STOWAGE_TEST_AZURE set, `up` starts
nothing and prints that value. Needs Node.js 20 with npm, and Python 3.

Variables
  AZURE_STORE_RUN     data, log, pid of one instance                          (default: .stowage/azure-store of the repository)
  AZURE_STORE_PORT    its port; "auto" takes the first free one from 20070 on  (default: 20070, or as it was started)
  STOWAGE_CACHE       where the program is kept, safe to delete                (default: $XDG_CACHE_HOME/stowage or ~/.cache/stowage)

Several instances side by side: give each an AZURE_STORE_RUN of its own and AZURE_STORE_PORT=auto.
Exit status: 0 done, 1 failed, 2 bad input.
HELP
}

me=azure-store
# shellcheck source=scripts/instance.sh
. "$root/scripts/instance.sh"

read_command 'up down! status' "$@"
need_linux "with a server of your own set STOWAGE_TEST_AZURE=http://host:port/$account"
run=$(absolute "${AZURE_STORE_RUN:-$root/.stowage/azure-store}")
cache=$(cache_of azure-store)
program=$cache/azurite-$version/node_modules/azurite/dist/src/blob/main.js
first_port=20070
read_port AZURE_STORE_PORT

# A process of ours, not another one that got the same pid.
alive() { [ -f "$run/pid" ] && grep -qszxF -- "$run/data" "/proc/$(cat "$run/pid")/cmdline"; }

# Once per version, all or nothing.
install() {
  local new tool
  [ ! -f "$program" ] || return 0
  for tool in node npm; do command -v $tool >/dev/null 2>&1 || die "'$tool' is needed. Debian: apt-get install nodejs npm"; done
  say "installing Azurite $version, 370 MB, into $cache"
  new=$(mktemp -d "$cache/.install.XXXXXX")
  npm install --prefix "$new" --no-audit --no-fund "azurite@$version" >"$cache/install.log" 2>&1 9>&- || {
    rm -rf "$new"
    die "that failed ($(tail -n 1 "$cache/install.log" | cut -c 1-300)), see $cache/install.log"
  }
  mv -T "$new" "$cache/azurite-$version"
}

# Exists already, or is made.
make_container() { python3 "$root/scripts/azure_container.py" "http://127.0.0.1:$port" "$account" "$key" lake; }

up() {
  if [ -n "${STOWAGE_TEST_AZURE:-}" ]; then
    say "using the server at $STOWAGE_TEST_AZURE, starting none"
    echo "STOWAGE_TEST_AZURE=$STOWAGE_TEST_AZURE"
    return
  fi
  mkdir -p "$cache" 2>/dev/null || die "the folder $cache cannot be made; set STOWAGE_CACHE"
  mkdir -p "$run/data" 2>/dev/null || die "the folder $run cannot be made; set AZURE_STORE_RUN"
  # One lock for all instances: those that choose a port at the same time wait for each other.
  take_lock "$cache/lock" 600
  install
  if ! alive; then
    choose_port AZURE_STORE_PORT
    start_process "$run/server.log" node --max-old-space-size=1024 "$program" --blobHost 127.0.0.1 --blobPort "$port" \
      --location "$run/data" --silent --skipApiVersionCheck --disableTelemetry
  fi
  await_process server "$run/server.log" 60 make_container
  say "Azurite $version at http://127.0.0.1:$port/$account"
  echo "STOWAGE_TEST_AZURE=http://127.0.0.1:$port/$account"
}

case $command in
  up) up ;;
  down)
    stop_process
    [ "${2:-}" != --wipe ] || rm -rf "$run/data" "$run/server.log" "$run/port"
    ;;
  status) show_process "http://127.0.0.1:$port/$account" ;;
esac
