#!/usr/bin/env bash
# rootfs.sh PROGRAM FOLDER: everything that one image holds, and nothing else: the program without debug data, the libraries
# that it was linked to, the authorities that it trusts, and a user who is nobody. No shell, no package manager.
set -euo pipefail
program=$1 root=$2
authorities=/etc/ssl/certs/ca-certificates.crt

[ -f "$authorities" ] || { echo "rootfs: $authorities is missing. Debian: apt-get install ca-certificates" >&2; exit 1; }
rm -rf "$root"
mkdir -p "$root"/{etc/ssl/certs,etc/stowage,usr/local/bin,var/lib/stowage,tmp}
strip -o "$root/usr/local/bin/${program##*/}" "$program"

# Libraries go where the linker of this machine found them, so that it finds them there again.
ldd "$program" | grep -oE '/[^ ]+' | sort -u | while read -r library; do
  mkdir -p "$root${library%/*}"
  cp -L "$library" "$root$library"
done

cp -L "$authorities" "$root$authorities"
echo 'stowage:x:65532:65532::/:/sbin/nologin' >"$root/etc/passwd"
echo 'stowage:x:65532:' >"$root/etc/group"
# Names are looked up in files first, as everywhere.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
chmod -R u=rwX,go=rX "$root"
chown 65532:65532 "$root/var/lib/stowage" 2>/dev/null || true
