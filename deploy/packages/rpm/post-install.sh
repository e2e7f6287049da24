#!/bin/sh
[ -d /var/lib/pgvalet ] || install -d -m 0700 -o pgvalet -g pgvalet /var/lib/pgvalet
[ ! -d /run/systemd/system ] || systemctl daemon-reload
