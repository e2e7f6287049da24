#!/bin/sh
# The files of the package belong to root, so this may also happen after they are there.
getent group pgvalet >/dev/null || groupadd --system pgvalet
getent passwd pgvalet >/dev/null ||
    useradd --system --gid pgvalet --home-dir /var/lib/pgvalet --no-create-home --shell /sbin/nologin pgvalet
