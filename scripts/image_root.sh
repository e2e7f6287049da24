#!/usr/bin/env bash
# Makes the files of the image: the program, the libraries that it needs, root certificates, and
# a user. Nothing else is there, no shell either.
#
#   image_root.sh PROGRAM DIRECTORY
set -euo pipefail
readonly program=$1 root=$2 uid=65532

copy() {
    install -D -m "$2" "$(readlink -f "$1")" "$root$1"
}

install -D -m 755 "$program" "$root/usr/bin/pgvalet"
strip --strip-debug "$root/usr/bin/pgvalet"
# Each line of ldd: "name => /path (address)", or "/path (address)" for the loader.
ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
    copy "$library" 755
done
copy /etc/ssl/certs/ca-certificates.crt 644
install -d -m 755 "$root/etc/pgvalet"
printf 'root:x:0:0:root:/:/nologin\npgvalet:x:%s:%s:pgvalet:/var/lib/pgvalet:/nologin\n' $uid $uid >"$root/etc/passwd"
printf 'root:x:0:\npgvalet:x:%s:\n' $uid >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
chmod 644 "$root"/etc/{passwd,group,nsswitch.conf}
# For the store and the audit log.
install -d -m 700 -o $uid -g $uid "$root/var/lib/pgvalet"
