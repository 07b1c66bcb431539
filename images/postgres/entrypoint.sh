#!/bin/sh
# Copy the initialised cluster of the image to the tmpfs, create the role and database, start the server.
#
# POSTGRES_<NAME> in the environment sets the server's parameter <name>; "postgres -c name=value" given as the command
# adds to the configuration and wins over all of it.
set -eu

BAKED=/usr/local/share/postgres-cluster

fail() {
    echo "test-postgres: error: $*" >&2
    exit 1
}

# A text as an SQL literal.
literal() {
    case "$1" in
    *'
'*) fail "role, password and database must not contain a line break" ;;
    esac
    printf "'%s'" "$(printf '%s' "$1" | sed "s/'/''/g")"
}

# Through standard input only: neither argument lists nor the log ever show the password.
bootstrap() {
    # shellcheck disable=SC2310 # literal exits by itself
    {
        printf 'SET bootstrap.role = %s;\n\n' "$(literal "$POSTGRES_USER")"
        printf 'SET bootstrap.password = %s;\n\n' "$(literal "$POSTGRES_PASSWORD")"
        printf 'SET bootstrap.database = %s;\n\n' "$(literal "$POSTGRES_DB")"
        cat /usr/local/share/bootstrap.sql
    } | postgres --single -j -D "$PGDATA" -c log_min_error_statement=panic postgres >"$PGDATA/bootstrap.log" 2>&1 || true
    if ! grep -q 'bootstrap = "complete"' "$PGDATA/bootstrap.log"; then
        grep -E 'ERROR|FATAL|PANIC|DETAIL|HINT' "$PGDATA/bootstrap.log" >&2 || cat "$PGDATA/bootstrap.log" >&2
        fail "the role ${POSTGRES_USER} and the database ${POSTGRES_DB} could not be created"
    fi
    rm "$PGDATA/bootstrap.log"
}

if [ "${1:-postgres}" != postgres ]; then
    exec "$@"
fi
[ $# -eq 0 ] || shift

: "${POSTGRES_USER:=test_user}" "${POSTGRES_DB:=netra_test}"
[ -n "${POSTGRES_PASSWORD:-}" ] || fail "POSTGRES_PASSWORD is empty: the server lets nobody in without one"
[ "$POSTGRES_USER" != postgres ] || fail "POSTGRES_USER must not be postgres, which is the superuser"

if [ ! -e "$PGDATA/PG_VERSION" ]; then
    cp -a "$BAKED" "$PGDATA"
    bootstrap
fi

for name in $(env | sed -n 's/^POSTGRES_\([A-Z0-9_]*\)=..*/\1/p'); do
    case "$name" in
    USER | PASSWORD | PASSWORD_FILE | DB | INITDB_ARGS | HOST_AUTH_METHOD) ;;
    *)
        value=
        eval "value=\$POSTGRES_$name"
        # In front, so that the command's own flags come later and win.
        set -- -c "$(echo "$name" | tr '[:upper:]' '[:lower:]')=$value" "$@"
        ;;
    esac
done

unset POSTGRES_PASSWORD
exec postgres -D "$PGDATA" -c listen_addresses='*' -c port=5432 -c unix_socket_directories='' "$@"
