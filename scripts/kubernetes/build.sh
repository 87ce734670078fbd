# shellcheck shell=bash
# shellcheck disable=SC2154  # here, say and die come from kubernetes.sh, which sources this file
# Builds the control plane, once per version, into the cache.

version=$(sed -n 's/^\tk8s.io\/kubernetes v//p' "$here/go.mod")
cache=$(cache_of kubernetes)

# The key is what the program is made of: a changed version is built anew, beside the old one.
key=$(cat "$here/go.mod" "$here/go.sum" "$here/main.go" | sha256sum | cut -c 1-16)-$(uname -m)
program=$cache/$key/kube

build() {
  [ ! -x "$program" ] || return 0
  mkdir -p "$cache/$key" 2>/dev/null || die "the folder $cache/$key cannot be made; set STOWAGE_CACHE"
  # Runs that begin at once build once.
  exec 7>"$cache/$key/lock"
  flock -w 3600 7 || die "another kubernetes.sh has been building for an hour: $cache/$key/build.log"
  if [ ! -x "$program" ]; then
    need_go
    compile
  fi
  exec 7>&-
}

need_go() {
  local wanted found hint="see https://go.dev/doc/install"
  wanted=$(sed -n 's/^go //p' "$here/go.mod")
  command -v go >/dev/null 2>&1 || die "Go ${wanted%.*} or newer is needed once, to build the control plane, and was not found: $hint"
  found=$(go env GOVERSION) || die "go does not run"
  [ "$(printf '%s\n' "$wanted" "${found#go}" | sort -V | head -n 1)" = "$wanted" ] ||
    die "Go ${wanted%.*} or newer is needed, and this is ${found#go}: $hint"
  mkdir -p "$cache" 2>/dev/null || die "the folder $cache cannot be made; set STOWAGE_CACHE"
  [ "$(df -Pk "$cache" | awk 'NR == 2 { print int($4 / 1048576) }')" -ge 4 ] ||
    die "$cache needs 4 GB of free disk space for the build; make room, or set STOWAGE_CACHE to another disk"
}

# Caches of its own: a build that was broken off goes on where it stopped, a finished one leaves only the program. Debug
# data is left out. GOGC spends 2 GB of memory to save a tenth of the time.
compile() {
  local began=$SECONDS folder=$cache/$key package=k8s.io/component-base/version minor
  minor=${version#*.}
  say "building Kubernetes $version, once: about four minutes on two idle cores"
  (
    cd "$here"
    export CGO_ENABLED=0 GOGC=400 GOMEMLIMIT=3GiB GOWORK=off GOFLAGS="-mod=readonly -modcacherw"
    export GOMODCACHE=$folder/modules GOCACHE=$folder/objects
    exec nice -n 5 go build -trimpath -buildvcs=false -gcflags=all=-dwarf=false -o "$program.new" -ldflags "-s -w \
      -X $package.gitVersion=v$version -X $package.gitMajor=${version%%.*} -X $package.gitMinor=${minor%%.*}" .
  ) >"$folder/build.log" 2>&1 7>&- || {
    grep -v '^go: downloading' "$folder/build.log" | tail -n 20 >&2
    die "the build failed, see $folder/build.log"
  }
  rm -rf "$folder/modules" "$folder/objects"
  mv "$program.new" "$program"
  say "built after $((SECONDS - began)) s"
}
