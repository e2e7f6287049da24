#!/bin/sh
# Works for ever over eight connections, and says every ten seconds how it goes.
set -eu
echo "connected as $(psql -XAtwc 'SELECT current_user'), with no password"
exec pgbench -n -M prepared -c 8 -R 100 -P 10 -T 2000000 -f /deploy/client.sql
