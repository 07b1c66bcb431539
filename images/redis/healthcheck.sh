#!/bin/sh
# The server answers to the stack's own password.
set -eu

# Why a running server is asked less often than one that starts: images/postgres/healthcheck.sh.
healthy=/data/healthy
[ ! -e "$healthy" ] || sleep 9

if [ -n "${REDIS_PASSWORD:-}" ]; then
    export REDISCLI_AUTH="$REDIS_PASSWORD"
fi
answer="$(timeout 3 redis-cli -h 127.0.0.1 -p 6379 --no-auth-warning PING || true)"
echo "$answer"
if [ "$answer" = PONG ]; then
    touch "$healthy"
else
    rm -f "$healthy"
    exit 1
fi
