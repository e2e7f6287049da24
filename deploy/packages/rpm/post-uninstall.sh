#!/bin/sh
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # 1: a newer package has taken its place. What runs becomes the new program.
    [ "$1" = 0 ] || /usr/lib/pgvalet/replace-running || :
fi
