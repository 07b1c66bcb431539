#!/bin/sh
# A query over TCP as the stack's own role: the server is up, and role, password and database are as the clients expect.
set -eu

# Docker has one interval for a server that starts and one that runs. Asking every second costs a fifth of a core over
# all services, so once the server was healthy each question waits before it is asked. After a failure it does not.
healthy=/data/healthy
[ ! -e "$healthy" ] || sleep 9

export PGPASSWORD="$POSTGRES_PASSWORD" PGCONNECT_TIMEOUT=2 PGAPPNAME=healthcheck
if timeout 3 psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -XAtqc 'SELECT 1'; then
    touch "$healthy"
else
    rm -f "$healthy"
    exit 1
fi
