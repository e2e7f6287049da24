#!/bin/sh
# 0: the package is removed; 1: another version takes its place.
if [ "$1" = 0 ] && [ -d /run/systemd/system ]; then
    systemctl disable --now pgvalet.socket pgvalet.service || :
    systemctl stop 'pgvalet@*.service' || :
fi
