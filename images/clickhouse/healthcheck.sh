#!/bin/bash
# A query over HTTP with the stack's own credentials: /ping would answer before tables are loaded, and to anybody.
# Through bash itself, since it starts in a millisecond and shows the password in no argument list.
set -eu

# Why a running server is asked less often than one that starts: images/postgres/healthcheck.sh.
healthy=/var/lib/clickhouse/healthy
[ ! -e "$healthy" ] || sleep 9
trap '[ $? -eq 0 ] || rm -f "$healthy"' EXIT

exec 3<>/dev/tcp/127.0.0.1/8123
printf 'GET /?query=SELECT%%201 HTTP/1.0\r\nHost: 127.0.0.1\r\nX-ClickHouse-User: %s\r\nX-ClickHouse-Key: %s\r\n\r\n' \
    "$CLICKHOUSE_USER" "$CLICKHOUSE_PASSWORD" >&3
read -r -t 3 _ status _ <&3
echo "HTTP $status"
[ "$status" = 200 ]
touch "$healthy"
