#!/usr/bin/env bash
# The images of the three services. See `images.sh --help`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'HELP'
Builds the images of monitor, orchestrator and consumer.

  scripts/images.sh [--engine NAME] [--prefix PREFIX] [--tag TAG] [--push]
  scripts/images.sh --engine none [--profile dev|release] [--output FOLDER] ...

  --engine NAME     docker, podman, buildah, or none: programs of this machine's cargo, packed into an archive that all of
                    them load (default: the first of these three that answers, else none)
  --prefix PREFIX   what names begin with, such as registry.example/team/stowage       (default: stowage)
  --tag TAG         tag of the images                                 (default: the version in Cargo.toml)
  --push            push them as well, with the engine
  --output FOLDER   where archives go                                 (default: target/images)
  --profile NAME    of cargo; dev packs what tests have built         (default: release)

Then say in your overlay where they are (images, and CONSUMER_IMAGE in config.yaml), or load them: kind load image-archive.
Exit status: 0 done, 1 failed, 2 bad input.
HELP
}

say() { printf 'images: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
refuse() { say "$@"; say "see: scripts/images.sh --help"; exit 2; }

services="monitor orchestrator consumer"
engine='' prefix=stowage tag='' push=0 output='' profile=release
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --push) push=1 ;;
    --engine | --prefix | --tag | --output | --profile)
      [ $# -gt 1 ] || refuse "$1 needs a value"
      declare "${1#--}=$2"
      shift
      ;;
    *) refuse "unknown argument '$1'" ;;
  esac
  shift
done
case $engine in '' | docker | podman | buildah | none) ;; *) refuse "unknown engine '$engine'" ;; esac
case $profile in dev | release) ;; *) refuse "the profile is dev or release, not '$profile'" ;; esac
tag=${tag:-$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)}

find_engine() {
  local name
  for name in docker podman buildah; do
    if command -v $name >/dev/null && $name info >/dev/null 2>&1; then echo $name; return; fi
  done
  echo none
}

build_with_engine() {
  local name image command=(build)
  # What is equal is to have the same digest, whenever it is built.
  case $engine in
    podman) command=(build --timestamp 0) ;;
    buildah) command=(build --layers --timestamp 0) ;;
  esac
  for name in $services; do
    image=$prefix/$name:$tag
    say "building $image with $engine"
    "$engine" "${command[@]}" -f k8s/Dockerfile --target "$name" -t "$image" .
    [ "$push" = 0 ] || "$engine" push "$image"
  done
}

build_archives() {
  local name folder targets
  [ "$push" = 0 ] || refuse "--push needs an engine; archives are loaded, or copied by tools like skopeo"
  command -v strip >/dev/null || die "strip is needed. Debian: apt-get install binutils"
  cargo build --locked --workspace --profile "$profile" --bin monitor --bin orchestrator --bin consumer
  targets=$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
  folder=$targets/$profile
  [ "$profile" = release ] || folder=$targets/debug
  output=${output:-$targets/images}
  mkdir -p "$output"
  for name in $services; do
    scripts/images/rootfs.sh "$folder/$name" "$output/$name"
    python3 scripts/images/archive.py "$name" "$output/$name" "$prefix/$name:$tag" "$output/$name.tar"
  done
}

[ -n "$engine" ] || engine=$(find_engine)
if [ "$engine" = none ]; then build_archives; else build_with_engine; fi
