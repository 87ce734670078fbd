# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # what is set here is used by the scripts that source this file, and the other way round
# What scripts have in common that start servers for tests: their words, their commands, and, for those of one process
# (with `run`, `alive` and `first_port` of their own), its port and its end. `me` is the name of the script that sources this.

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { say "$@"; exit 1; }
refuse() { say "$@"; say "see: scripts/$me.sh --help"; exit 2; }

# read_command 'KNOWN ...' ARGUMENTS...: sets `command`, and checks what follows it. A known command takes no argument; with
# a ! behind it, it takes --wipe, with a + what `needs` says.
read_command() {
  local known=$1 names
  names=$(sed 's/[!+]//g; s/ /, /g; s/\(.*\), /\1 or /' <<<"$known")
  shift
  command=${1:-}
  [ $# -eq 0 ] || shift
  case $command in
    -h | --help | help) usage; exit 0 ;;
    '') refuse "a command is needed: $names" ;;
    *[!a-z]*) refuse "unknown command '$command'" ;;
  esac
  case " $known " in
    *" $command "*) [ $# -eq 0 ] || refuse "'$command' takes no argument, got '$1'" ;;
    *" $command! "*) { [ $# -eq 0 ] || [ "$*" = --wipe ]; } || refuse "'$command' takes nothing but --wipe, got '$*'" ;;
    *" $command+ "*) [ $# -gt 0 ] || refuse "'$command' needs $needs" ;;
    *) refuse "unknown command '$command'" ;;
  esac
}

# need_linux WHAT-ELSE-TO-DO
need_linux() { [ "$(uname -s)" = Linux ] || die "this script needs Linux${1:+; $1}"; }

# The same path, from wherever it is looked at.
absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }

# Where what was fetched or built once is kept.
cache_of() { echo "${STOWAGE_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or STOWAGE_CACHE}/.cache}/stowage}/$1"; }

is_number() { case $1 in '' | *[!0-9]* | ??????????*) return 1 ;; esac; }
is_taken() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# take_lock FILE SECONDS: held until the script ends
take_lock() {
  exec 9>"$1"
  flock -w "$2" 9 || die "another $me.sh has been holding $1 for $(($2 / 60)) minutes"
}

# read_port VARIABLE: sets `asked` to what is asked for, and `port` to where it was started before
read_port() {
  asked=${!1:-}
  port=$(cat "$run/port" 2>/dev/null || true)
  case $asked in '' | auto) return ;; esac
  local last=$((65535 - ${is_pair:-0}))
  { is_number "$asked" && [ "$asked" -ge 1 ] && [ "$asked" -le $last ]; } || refuse "$1 is a port up to $last or 'auto', not '$asked'"
}

# A process may need the port behind its own as well: then `is_pair` is 1.
are_taken() { is_taken "$1" || { [ "${is_pair:-0}" = 1 ] && is_taken "$(($1 + 1))"; }; }

# choose_port VARIABLE: sets `port` to a free one, or to the one that is asked for
choose_port() {
  if [ "$asked" != auto ]; then
    port=${asked:-${port:-$first_port}}
    if are_taken "$port"; then die "port $port${is_pair:+ or the next one} is taken by another program; set $1 to another port, or to 'auto'"; fi
    return
  fi
  for port in $(seq "$first_port" 2 $((first_port + 400))); do
    if ! are_taken "$port"; then return; fi
  done
  die "no free port was found from $first_port on; set $1"
}

# start_process LOG COMMAND...: in a session of its own. Ctrl-C in the terminal reaches the caller, who then decides when it stops.
start_process() {
  local log=$1
  shift
  setsid "$@" >"$log" 2>&1 9>&- </dev/null &
  echo $! >"$run/pid"
  echo "$port" >"$run/port"
}

# await_process WHAT LOG SECONDS TEST...
await_process() {
  local what=$1 log=$2 seconds=$3 limit=$((SECONDS + $3))
  shift 3
  until "$@" && alive; do
    kill -0 "$(cat "$run/pid")" 2>/dev/null || { tail -n 5 "$log" >&2; die "the $what ended while it started, see $log"; }
    [ $SECONDS -lt $limit ] || die "the $what does not answer after $seconds s, see $log"
    sleep 0.1
  done
}

stop_process() {
  local limit=$((SECONDS + 10))
  # A paused process (SIGSTOP) hears of its end only when it goes on.
  if alive; then kill -TERM "$(cat "$run/pid")"; kill -CONT "$(cat "$run/pid")"; fi
  while alive; do
    [ $SECONDS -lt $limit ] || kill -KILL "$(cat "$run/pid")"
    sleep 0.1
  done
  rm -f "$run/pid"
}

# show_process URL
show_process() {
  if alive; then echo "$1  running, pid $(cat "$run/pid")  $run"; return; fi
  echo "nothing runs in $run"
  return 1
}
