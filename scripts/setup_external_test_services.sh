#!/bin/sh
# The test servers without Docker, by name: a thin front of the native backend.
#
#   setup      make the virtual environment and install what is missing
#   start      start, seed, and wait until everything is healthy
#   stop       stop everything and leave nothing behind
#   status     how each server is; exit code 1 when one is not healthy
#   validate   ask the live servers for their settings, seed and versions
#   cleanup    stop, and remove the prepared clusters from the cache too
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit "$1"
}

framework() {
    make --no-print-directory -C "$root" .venv/.installed >&2
    "$root/.venv/bin/test-framework" "$@"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
    setup) framework setup --backend native "$@" ;;
    start) framework up --backend native "$@" ;;
    stop) framework down "$@" ;;
    status) framework status "$@" ;;
    validate) framework validate "$@" ;;
    cleanup) framework down --purge-cache "$@" ;;
    -h | --help | help) usage 0 ;;
    *)
        echo "error: unknown command '${command}'" >&2
        usage 2 >&2
        ;;
esac
