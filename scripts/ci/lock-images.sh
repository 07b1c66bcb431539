#!/usr/bin/env bash
# Renew the requirements of the images that run Python, with the versions of requirements.lock.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
uv="${UV:-.venv/bin/uv}"

lock() {
    local directory="$1"
    shift
    "$uv" pip compile "$directory/requirements.in" --constraint requirements.lock --python-version 3.11 \
        --python-platform linux --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --quiet \
        --custom-compile-command "make lock" "$@" --output-file "$directory/requirements.txt"
}

lock seeder
lock monitor
# The engine's package asks for these and its raw module, which is all that we use, does not: 300 MB.
lock images/clickhouse --no-emit-package pandas --no-emit-package pyarrow --no-emit-package numpy \
    --no-emit-package python-dateutil --no-emit-package tzdata --no-emit-package six --no-emit-package pytz
