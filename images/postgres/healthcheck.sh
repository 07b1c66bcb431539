#!/bin/sh
# A query over TCP as the stack's own role: the server is up, and role, password and database are as the clients expect.
set -eu
if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
    PGPASSWORD="$(cat "$POSTGRES_PASSWORD_FILE")"
else
    PGPASSWORD="$POSTGRES_PASSWORD"
fi
export PGPASSWORD PGCONNECT_TIMEOUT=2 PGAPPNAME=healthcheck
exec psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -XAtqc 'SELECT 1'
