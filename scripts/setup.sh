#!/usr/bin/env bash
# Makes sure that what the build, the demo and the tests need is there. See `setup.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${STOWAGE_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or STOWAGE_CACHE}/.cache}/stowage}

usage() {
  cat <<'HELP'
Checks what the build, the demo and the tests need, and installs what is missing.

  scripts/setup.sh            a C compiler, pkg-config, zlib, OpenSSL, git, Java 17 or newer and Maven
                              (Java and Maven are left out when KAFKA_BOOTSTRAP_SERVERS names a Kafka of your own)
  scripts/setup.sh --tests    the same, and Python 3 with venv, shellcheck, curl, kubectl 1.27 or newer, and Go 1.24 or newer
                              (Go is left out when scripts/kubernetes.sh has built the control plane already)
                              Without Node.js and npm the tests on an Azure Blob server are left out.

Debian packages are installed by apt-get, as root or through sudo without a password; otherwise the command to type is
printed, with exit status 1. Rust, Go and kubectl are not installed: when they are missing, it is said where they are found.
Exit status: 0 everything is there, 1 something is missing, 2 bad input.
HELP
}

say() { printf 'setup: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

tests=0
case ${1:-} in
  '') ;;
  --tests) tests=1 ;;
  -h | --help) usage; exit 0 ;;
  *) say "unknown argument '$1'; see: scripts/setup.sh --help"; exit 2 ;;
esac

# The major version of the Java that would run, from the file beside it, since starting it takes long.
java_major() {
  local java home release
  java=${JAVA_HOME:+$JAVA_HOME/bin/}java
  has "$java" || { echo 0; return; }
  home=$(readlink -f "$(command -v "$java")")
  release=${home%/bin/java}/release
  if [ -r "$release" ]; then
    sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$release"
  else
    "$java" -XshowSettings:properties -version 2>&1 | sed -n 's/ *java.specification.version = \([0-9]*\).*/\1/p'
  fi
}

# The Debian packages that are missing, one a line.
missing_packages() {
  local jars
  { has cc && has c++ && has make; } || echo build-essential
  if has pkg-config; then
    pkg-config --exists zlib || echo zlib1g-dev
    pkg-config --exists openssl || echo libssl-dev
  else
    printf '%s\n' pkg-config zlib1g-dev libssl-dev
  fi
  has git || echo git
  has flock || echo util-linux
  if [ "$tests" = 1 ] || [ -z "${KAFKA_BOOTSTRAP_SERVERS:-}" ]; then
    [ "$(java_major)" -ge 17 ] 2>/dev/null || java_package
    jars=$cache/kafka/libs-$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$root/scripts/kafka/pom.xml")
    [ -f "$jars/.complete" ] || has mvn || echo maven
  fi
  if [ "$tests" = 1 ]; then
    has_python || echo python3-venv
    has shellcheck || echo shellcheck
    has curl || echo curl
  fi
}

has_python() {
  local complete
  for complete in "$cache"/python/readers-*/.complete; do if [ -f "$complete" ]; then return 0; fi; done
  python3 -c 'import ensurepip, venv' 2>/dev/null
}

# Which Java a distribution carries differs.
java_package() {
  local package
  for package in openjdk-17-jre-headless openjdk-21-jre-headless openjdk-25-jre-headless; do
    if [[ $(apt-cache policy "$package" 2>/dev/null) == *"Candidate: "[0-9]* ]]; then echo "$package"; return; fi
  done
  echo default-jre-headless
}

install_packages() {
  local packages=$1 as_root=() command
  command="apt-get install -y --no-install-recommends $packages"
  has apt-get || { say "missing, under the names of Debian's packages: $packages"; exit 1; }
  if [ "$(id -u)" != 0 ]; then
    if has sudo && sudo -n true 2>/dev/null; then as_root=(sudo -n); else
      say "missing: $packages"
      say "install them with: sudo $command"
      exit 1
    fi
  fi
  say "installing $packages"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086  # several packages in one variable
  { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq --no-install-recommends $packages; } >"$log" 2>&1 ||
    { say "that failed ($(grep -m 1 '^E:' "$log" || tail -n 1 "$log")); the command was: $command"; exit 1; }
}

need_packages() {
  local packages
  packages=$(missing_packages | paste -sd ' ')
  [ -n "$packages" ] || return 0
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  # Without lists of packages the name of the Java package cannot be told.
  if [ "$(id -u)" = 0 ] && [[ $packages == *default-jre* ]] && has apt-get; then
    apt-get update -qq >"$log" 2>&1 || true
    packages=$(missing_packages | paste -sd ' ')
  fi
  install_packages "$packages"
  packages=$(missing_packages | paste -sd ' ')
  [ -z "$packages" ] || { say "still missing after the installation: $packages"; exit 1; }
}

need_rust() {
  local toolchain why
  toolchain=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$root/rust-toolchain.toml")
  if ! has cargo; then
    say "Rust $toolchain is needed. Install rustup (Debian 13: apt-get install rustup; else as https://rustup.rs says), then: rustup toolchain install $toolchain --component clippy,rustfmt"
    exit 1
  fi
  why=$(cd "$root" && cargo --version 2>&1 >/dev/null) ||
    { say "cargo does not run: $(head -n 1 <<<"$why")"; say "install the toolchain with: rustup toolchain install $toolchain --component clippy,rustfmt"; exit 1; }
}

# Distributions carry versions that are too old.
need_kubernetes() {
  local said minor
  # All of it is read first: whoever is not listened to ends with an error.
  said=$(kubectl version --client 2>/dev/null) || said=
  minor=$(sed -n 's/.*v1\.\([0-9]*\)\..*/\1/p;q' <<<"$said")
  [ "${minor:-0}" -ge 27 ] ||
    { say "kubectl 1.27 or newer is needed for the tests on Kubernetes: see https://kubernetes.io/docs/tasks/tools"; exit 1; }
  "$root/scripts/kubernetes.sh" ready || exit 1
}

need_packages
need_rust
[ "$tests" = 0 ] || need_kubernetes
