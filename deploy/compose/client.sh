#!/bin/sh
# Runs transactions over eight connections until it is stopped, and reports every ten seconds.
set -eu
echo "connected as $(psql -XAtwc 'SELECT current_user'), with no password"
exec pgbench -n -M prepared -c 8 -R 100 -P 10 -T 2000000 -f /deploy/client.sql
