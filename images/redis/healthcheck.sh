#!/bin/sh
# The server answers to the stack's own password.
set -eu
if [ -n "${REDIS_PASSWORD_FILE:-}" ]; then
    REDIS_PASSWORD="$(cat "$REDIS_PASSWORD_FILE")"
fi
if [ -n "${REDIS_PASSWORD:-}" ]; then
    export REDISCLI_AUTH="$REDIS_PASSWORD"
fi
answer="$(redis-cli -h 127.0.0.1 -p 6379 --no-auth-warning PING)"
echo "$answer"
[ "$answer" = PONG ]
