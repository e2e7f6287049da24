#!/bin/sh
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    [ "$1" = 0 ] || systemctl try-restart pgvalet.service 'pgvalet@*.service' || :
fi
