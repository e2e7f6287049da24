#!/bin/sh
# Makes the superuser's password and the admin listener's token, unless an
# earlier run made them. Containers that run as different users read them.
set -eu
for file in /run/admin-password/password /run/admin-token/token; do
    [ -s "$file" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$file"
    chmod 0444 "$file"
done
