#!/bin/sh
# Start Redis with the tuned configuration. Flags given as the command ("redis-server --maxmemory 1gb") and a
# configuration file given there add to it and win; they never replace it.
set -eu

fail() {
    echo "test-redis: error: $*" >&2
    exit 1
}

# A text as redis.conf quotes it.
quoted() {
    case "$1" in
    *'
'*) fail "the password must not contain a line break" ;;
    esac
    printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"
}

case "${1:-redis-server}" in
redis-server) [ $# -eq 0 ] || shift ;;
-*) ;;
*) exec "$@" ;;
esac

# Written to the tmpfs and not given as flags: argument lists are for everybody to read.
umask 077
config=/data/redis.conf
cat >"$config" <<'CONF'
include /usr/local/share/redis.test.conf
bind * -::*
port 6379
# Who can reach the container is decided by where its port is published.
protected-mode no
dir /data
daemonize no
CONF
if [ -n "${REDIS_PASSWORD:-}" ]; then
    # printf, since the echo of this shell expands backslashes.
    printf 'requirepass %s\n' "$(quoted "$REDIS_PASSWORD")" >>"$config"
fi
case "${1:--}" in
-*) ;;
*)
    printf 'include %s\n' "$(quoted "$1")" >>"$config"
    shift
    ;;
esac

unset REDIS_PASSWORD
exec redis-server "$config" "$@"
