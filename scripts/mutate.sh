#!/usr/bin/env bash
# Puts deliberate faults into a copy of the code, and sees the simulation find each. See `mutate.sh --help`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

usage() {
  cat <<'HELP'
Builds a copy of the code that holds all the faults in scripts/faults/, each asleep, wakes them one at a time, runs
the simulation, and says which promise was seen broken. A simulation that finds none of them proves nothing.

  scripts/mutate.sh                 all of them
  scripts/mutate.sh WORD            those with WORD in their name
  scripts/mutate.sh --seeds N       with N histories each (default 4000)
  scripts/mutate.sh --write         and brings the table in docs/faults.md up to date

A fault is a patch with a sentence before it; in the copy `STOWAGE_FAULT=name` wakes it. The copy, and what is built
of it, stay in .stowage/mutate. Exit status: 0 all were caught, 1 one was not, or does not fit the code any more, 2 bad input.
HELP
}

seeds=4000 write=0 filter=
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --seeds) seeds=${2:-}; shift ;;
    --write) write=1 ;;
    -*) echo "mutate: unknown option '$1'; see: scripts/mutate.sh --help" >&2; exit 2 ;;
    *) filter=$1 ;;
  esac
  shift || true
done
case $seeds in '' | *[!0-9]*) echo "mutate: --seeds takes a number, got '$seeds'" >&2; exit 2 ;; esac

work=$root/.stowage/mutate
tree=$work/tree
table=$work/table.md
log=$work/log
minutes_max=10
built=${CARGO_TARGET_DIR:-$root/target}/debug
# Cargo cannot tell what is built of the copy from what is built of the original: each has its own folder.
export CARGO_TARGET_DIR=$work/target

# What is built already comes along, for the sake of the dependencies.
copy_built() {
  [ ! -d "$CARGO_TARGET_DIR" ] && [ -d "$built" ] || return 0
  mkdir -p "$CARGO_TARGET_DIR/debug"
  # What compilers and linkers write is never written in place; what cargo notes is.
  cp -al "$built/deps" "$built/build" "$CARGO_TARGET_DIR/debug/"
  cp -a "$built/.fingerprint" "$built/incremental" "$CARGO_TARGET_DIR/debug/"
}

# Cargo judges by the age of files: those that changed since the last copy are new, the others stay as old as they are.
copy_tree() {
  local fault file former=$work/former
  rm -rf "$former"
  if [ -d "$tree" ]; then mv "$tree" "$former"; fi
  mkdir -p "$tree"
  git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -C "$tree" -xmf -
  cp "$root/scripts/faults/fault.rs" "$tree/common/src/fault.rs"
  echo 'pub mod fault;' >>"$tree/common/src/lib.rs"
  for fault in "$root"/scripts/faults/*.patch; do
    patch --quiet --no-backup-if-mismatch -F2 -p1 -d "$tree" <"$fault" || {
      echo "mutate: $fault does not fit the code any more" >&2
      exit 1
    }
  done
  [ -d "$former" ] || return 0
  while IFS= read -r -d '' file; do
    if cmp -s "$tree/$file" "$former/$file"; then touch -r "$former/$file" "$tree/$file"; fi
  done < <(cd "$tree" && find . -type f -print0)
}

# simulate FAULT: 0 sound, 124 no end, else something was found
simulate() {
  (cd "$tree" && STOWAGE_FAULT=$1 RUST_BACKTRACE=0 STOWAGE_SEEDS=$seeds timeout "${minutes_max}m" \
    cargo test --quiet --workspace --test simulation -- --nocapture) >"$log" 2>&1
}

# Which promises were seen broken, the one in most histories first.
caught_by() {
  sed -n 's/^seed [0-9]*: \([A-Za-z0-9]*\) broken.*/\1/p' "$log" | sort | uniq -c | sort -rn |
    awk '{ printf "%s%s", (NR > 1 ? ", " : ""), ($2 == "Assertion" ? "an assertion" : $2) }'
}

example() {
  awk '/^seed [0-9]+: [A-Za-z0-9]+ broken: / && !shown {
    shown = 1; seed = $2; sub(/:$/, "", seed); sub(/^seed [0-9]+: [A-Za-z0-9]+ broken: /, ""); gsub(/\|/, "\\|")
    print substr($0, 1, 160) " (seed " seed ")" }' "$log"
}

missed=0
try_fault() {
  local fault=$1 what where status=0 name result why
  name=$(basename "$fault" .patch)
  what=$(head -1 "$fault")
  where=$(sed -n 's/^+++ b\///p' "$fault")
  simulate "$name" || status=$?
  case $status in
    0) result="**not caught** by $seeds histories"
       why=$(sed -n 's/^Unseen: //p' "$fault")
       if [ -n "$why" ]; then result+=": $why"; else missed=$((missed + 1)); fi ;;
    124) result="it does not come to its end" ;;
    *) result="$(caught_by): $(example)" ;;
  esac
  echo "$name: $result"
  echo "| $what | \`$where\` | $result |" >>"$table"
}

write_page() {
  awk -v table="$table" '
    /^<!-- results/ { print; print ""; while ((getline line < table) > 0) print line; print ""; skip = 1; next }
    /^<!-- end/ { skip = 0 }
    !skip { print }' "$root/docs/faults.md" >"$work/page.md"
  mv "$work/page.md" "$root/docs/faults.md"
}

main() {
  local fault
  mkdir -p "$work"
  copy_built
  copy_tree
  simulate "" || { cat "$log"; echo "mutate: the code fails without any fault" >&2; exit 1; }
  printf '| fault | where | caught by |\n|---|---|---|\n' >"$table"
  for fault in "$root"/scripts/faults/*"$filter"*.patch; do
    [ -f "$fault" ] || { echo "mutate: no fault is called '$filter'" >&2; exit 2; }
    try_fault "$fault"
  done
  if [ "$write" = 1 ] && [ -z "$filter" ]; then write_page; fi
  echo "$missed not caught"
  [ "$missed" = 0 ]
}

main; exit
