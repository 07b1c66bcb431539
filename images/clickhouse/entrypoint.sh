#!/bin/sh
# Start ClickHouse with the configuration in /usr/local/share/clickhouse, for the user, password and limits that the
# environment names. The official image's own entrypoint is not used: it would start the server twice to create a
# database, which the seeder does in milliseconds.
set -eu

SHIPPED=/usr/local/share/clickhouse
HOME_DIR=/var/lib/clickhouse

fail() {
    echo "test-clickhouse: error: $*" >&2
    exit 1
}

case "${1:-clickhouse-server}" in
clickhouse-server) [ $# -eq 0 ] || shift ;;
-*) ;;
*) exec "$@" ;;
esac

: "${CLICKHOUSE_USER:=test_user}" "${CLICKHOUSE_MAX_MEMORY_USAGE:=500000000}"
: "${CLICKHOUSE_MAX_SERVER_MEMORY_USAGE:=2400000000}"
[ -n "${CLICKHOUSE_PASSWORD:-}" ] || fail "CLICKHOUSE_PASSWORD is empty: the server lets nobody in without one"
# It becomes the name of an XML element.
case "$CLICKHOUSE_USER" in
[!A-Za-z_]* | *[!A-Za-z0-9_-]*) fail "CLICKHOUSE_USER must be letters, digits, _ and -, starting with a letter or _" ;;
esac
export CLICKHOUSE_USER CLICKHOUSE_PASSWORD CLICKHOUSE_MAX_MEMORY_USAGE CLICKHOUSE_MAX_SERVER_MEMORY_USAGE

if ! command -v clickhouse-server >/dev/null; then
    # The embedded engine reads credentials and limits from the environment itself.
    exec python -m test_framework.embedded_clickhouse --path "$HOME_DIR/data" --host 0.0.0.0 --port 8123 \
        --config-dir "$SHIPPED" "$@"
fi

config="$HOME_DIR/config"
umask 077
rm -rf "$config"
cp -r "$SHIPPED" "$config"
sed "s/STACK_USER/$CLICKHOUSE_USER/g" "$SHIPPED/users.xml" >"$config/users.xml"
export CLICKHOUSE_LISTEN_HOST=0.0.0.0 CLICKHOUSE_HTTP_PORT=8123 CLICKHOUSE_DATA_DIR="$HOME_DIR/data/"
CLICKHOUSE_PASSWORD_SHA256="$(printf '%s' "$CLICKHOUSE_PASSWORD" | sha256sum | cut -c 1-64)"
export CLICKHOUSE_PASSWORD_SHA256
unset CLICKHOUSE_PASSWORD
# With its watchdog, signals would reach the wrong process.
export CLICKHOUSE_WATCHDOG_ENABLE=0
exec clickhouse-server --config-file="$config/config.xml" -- --tcp_port=9000 "$@"
