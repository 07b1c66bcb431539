# shellcheck shell=bash
# Shared by the scripts of this directory: where things lie, and how they speak.

# A system directory that root alone can write, so nobody can put a socket or a symbolic link there first.
ENGINE_RUN="${TEST_ENGINE_RUN_DIR:-/run/test-framework-engine}"
# Set: image layers and the base image are kept there for the next start. Unset or empty: nothing is kept.
ENGINE_CACHE="${TEST_ENGINE_CACHE:-}"
BASE_IMAGE="debian:bookworm-slim"
BASE_SUITE="bookworm"

export ENGINE_RUN ENGINE_CACHE BASE_IMAGE BASE_SUITE

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# apt and dpkg report to the terminal only when they fail.
quietly() {
    local log
    log="$(mktemp)"
    if ! "$@" >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# "URI suite component" of every Debian archive that this machine installs from.
debian_archives() {
    # shellcheck disable=SC2016 # apt fills these in, not the shell
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
        sed -n 's/ Debian$//p' | sort -u
}

# The name of this machine's own release, such as "bookworm".
codename() {
    # shellcheck source=/dev/null
    . /etc/os-release
    echo "${VERSION_CODENAME:-}"
}

# The archive that holds the release itself, not its updates or security fixes.
main_archive() {
    debian_archives | awk -v suite="$(codename)" '$2 == suite && $3 == "main" { print $1; exit }'
}
