#!/usr/bin/env bash
# Start a Docker engine of our own on a Debian machine that has package registries and no Docker, and take it away again.
#
#   eval "$(scripts/ci/docker-engine.sh start)"     # prints "export DOCKER_HOST=…" when the engine is ours
#   scripts/ci/docker-engine.sh stop
#
# An engine that already answers is used as it is, and "stop" leaves it alone. See docs/docker.md.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/ci/common.sh
. "$here/common.sh"

SOCKET="unix://$ENGINE_RUN/docker.sock"
# The client finds plugins here whatever its version.
PLUGINS=/usr/local/lib/docker/cli-plugins

answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

answers_at_ours() { [ -S "$ENGINE_RUN/docker.sock" ] && DOCKER_HOST="$SOCKET" answers; }

install_engine() {
    local missing=() guard=/usr/sbin/policy-rc.d
    command -v dockerd >/dev/null || missing+=(docker.io)
    command -v iptables >/dev/null || missing+=(iptables)
    [ "${#missing[@]}" -eq 0 ] && return
    say "installing ${missing[*]}"
    # The package would start an engine of its own at once.
    if [ ! -e "$guard" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$guard"
        chmod 755 "$guard"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    quietly apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" ||
        { quietly apt-get update && quietly apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}"; } ||
        die "apt-get could not install ${missing[*]}"
    if [ -n "$(trap -p EXIT)" ]; then
        rm -f "$guard"
        trap - EXIT
    fi
}

# Compose v2 is in no Debian before trixie. Its package is one static file that needs nothing but libc: apt verifies and
# fetches it with a private list of sources, so this machine's own sources and packages stay as they are.
install_compose() {
    docker compose version >/dev/null 2>&1 && return
    local work archive
    archive="$(main_archive)"
    [ -n "$archive" ] || die "no Debian archive among this machine's apt sources: install the Docker Compose plugin"
    say "fetching the Compose plugin"
    work="$(mktemp -d)"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/root"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive trixie main" >"$work/sources.list"
    local apt=(apt-get -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o Acquire::Languages=none
        -o APT::Sandbox::User=root)
    (cd "$work" && quietly "${apt[@]}" update && quietly "${apt[@]}" download docker-compose) ||
        die "apt-get could not fetch the Compose plugin from trixie"
    dpkg-deb -x "$work"/docker-compose_*.deb "$work/root"
    install -D -m 755 "$(find "$work/root" -type f -name docker-compose -path '*cli-plugins*')" \
        "$PLUGINS/docker-compose"
    rm -rf "$work"
    docker compose version >/dev/null || die "the Compose plugin does not run"
}

# A run that was killed, or a machine that lost power, leaves our directory behind, and whatever it names.
clear_leftovers() {
    [ -e "$ENGINE_RUN" ] || return 0
    if [ ! -d "$ENGINE_RUN" ] || { [ ! -e "$ENGINE_RUN/data-root" ] && [ -n "$(ls -A "$ENGINE_RUN")" ]; }; then
        die "$ENGINE_RUN is in the way and not ours: remove it, or name another directory in TEST_ENGINE_RUN_DIR"
    fi
    say "clearing away what an engine left that was killed"
    stop_ours
}

start_daemon() {
    local data
    mkdir -m 700 "$ENGINE_RUN"
    if [ -n "$ENGINE_CACHE" ]; then
        data="$ENGINE_CACHE/data"
        mkdir -p "$data"
    else
        # On disk: layers of hundreds of MiB do not belong into memory.
        data="$(mktemp -d /var/tmp/test-framework-engine.XXXXXX)"
    fi
    echo "$data" >"$ENGINE_RUN/data-root"
    cat /proc/sys/net/ipv4/ip_forward >"$ENGINE_RUN/ip_forward"
    bridges >"$ENGINE_RUN/bridges"
    iptables-save 2>/dev/null | grep '^:FORWARD' >"$ENGINE_RUN/forward-policy" || true
    say "starting dockerd, log $ENGINE_RUN/dockerd.log"
    setsid dockerd --host "$SOCKET" --data-root "$data" --exec-root "$ENGINE_RUN/exec" \
        --pidfile "$ENGINE_RUN/dockerd.pid" --log-level warn </dev/null >"$ENGINE_RUN/dockerd.log" 2>&1 9>&- &
    echo $! >"$ENGINE_RUN/started.pid"
    local tries=0
    until answers_at_ours; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ] || ! kill -0 "$(cat "$ENGINE_RUN/started.pid")" 2>/dev/null; then
            tail -n 30 "$ENGINE_RUN/dockerd.log" >&2
            stop_ours
            die "dockerd did not start"
        fi
        sleep 0.1
    done
    # With kept layers, containers of a run that was killed come along.
    DOCKER_HOST="$SOCKET" remove_containers
}

remove_containers() {
    local containers
    containers="$(docker ps -aq)"
    # shellcheck disable=SC2086 # one word per container
    [ -z "$containers" ] || docker rm -fv $containers >/dev/null
    docker network prune -f >/dev/null
    docker volume prune -f >/dev/null
}

# Kept layers must not grow for ever: what no build used for a week goes.
shrink_cache() {
    docker image prune -af --filter until=168h >/dev/null
    docker builder prune -f --keep-storage 5GB >/dev/null
}

start() {
    # Two that start at once: the second finds the engine of the first. A lock of the directory itself leaves no file.
    mkdir -p "$(dirname "$ENGINE_RUN")"
    exec 9<"$(dirname "$ENGINE_RUN")"
    flock 9
    if answers; then
        say "an engine already answers; using it"
    elif answers_at_ours; then
        say "ours already runs"
        export DOCKER_HOST="$SOCKET"
    else
        [ "$(id -u)" -eq 0 ] || die "starting an engine needs root"
        command -v apt-get >/dev/null || die "this is no Debian machine: start a Docker engine by other means"
        install_engine
        clear_leftovers
        start_daemon
        export DOCKER_HOST="$SOCKET"
    fi
    install_compose
    "$here/base-image.sh" >&2
    [ "${DOCKER_HOST:-}" != "$SOCKET" ] || echo "export DOCKER_HOST=$SOCKET"
}

# Whether process $1 is the dockerd that we started, and not whoever got its number afterwards.
is_our_dockerd() {
    [ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -qF -- "--host $SOCKET"
}

stop_ours() {
    local pid
    pid="$(cat "$ENGINE_RUN/started.pid" 2>/dev/null || true)"
    if answers_at_ours; then
        DOCKER_HOST="$SOCKET" remove_containers || say "some containers could not be removed"
        [ -z "$ENGINE_CACHE" ] || DOCKER_HOST="$SOCKET" shrink_cache || true
    fi
    if [ -n "$pid" ] && is_our_dockerd "$pid"; then
        kill -TERM "$pid"
        for _ in $(seq 200); do
            is_our_dockerd "$pid" || break
            sleep 0.1
        done
        ! is_our_dockerd "$pid" || kill -KILL "$pid"
    fi
    stop_survivors
    remove_mounts
    remove_network
    remove_files
}

# containerd, its shims and the containers end with their dockerd, except when that was killed.
stop_survivors() {
    local pid
    for pid in $(processes_of_ours containerd-shim); do
        # A shim's children are containers' first processes: with them, all that is inside a container ends.
        # shellcheck disable=SC2046 # one word per process
        kill -KILL $(cat "/proc/$pid/task/$pid/children") "$pid" 2>/dev/null || true
    done
    for pid in $(processes_of_ours containerd); do kill -KILL "$pid" 2>/dev/null || true; done
}

# Numbers of the processes of that program which were started with paths in our directory.
processes_of_ours() {
    local directory
    for directory in /proc/[0-9]*; do
        if grep -qs "^$1" "$directory/comm" && tr '\0' ' ' <"$directory/cmdline" | grep -qF "$ENGINE_RUN/"; then
            basename "$directory"
        fi
    done 2>/dev/null
}

remove_mounts() {
    local data mount
    data="$(cat "$ENGINE_RUN/data-root" 2>/dev/null || echo /nonexistent)"
    # Deepest first.
    awk -v run="$ENGINE_RUN/" -v data="$data/" 'index($5 "/", run) == 1 || index($5 "/", data) == 1 { print $5 }' \
        /proc/self/mountinfo | sort -r | while read -r mount; do umount "$mount" || umount -l "$mount" || true; done
}

bridges() { ip -o link show type bridge | awk -F ': ' '{ print $2 }'; }

remove_network() {
    [ -e "$ENGINE_RUN/ip_forward" ] || return 0
    local bridge
    for bridge in $(bridges | grep -E '^(docker0|br-[0-9a-f]{12})$' | grep -vxFf "$ENGINE_RUN/bridges"); do
        ip link delete "$bridge" || say "the bridge $bridge could not be removed"
    done
    # Everybody else's rules stay. Ours name a bridge or a chain of Docker's, or send a container back to itself.
    if command -v iptables-save >/dev/null; then
        iptables-save | sed -E '/docker|br-[0-9a-f]{12}|-s ([0-9.]+\/32) -d \1 .*MASQUERADE/Id' |
            sed "s/^:FORWARD .*/$(cat "$ENGINE_RUN/forward-policy" 2>/dev/null | head -n 1 | grep . || echo ':FORWARD ACCEPT [0:0]')/" |
            iptables-restore || say "some packet filter rules could not be removed"
    fi
    cat "$ENGINE_RUN/ip_forward" >/proc/sys/net/ipv4/ip_forward
}

remove_files() {
    local data
    data="$(cat "$ENGINE_RUN/data-root" 2>/dev/null || true)"
    case "$data" in
    /var/tmp/test-framework-engine.*) rm -rf --one-file-system "$data" ;;
    esac
    rm -rf --one-file-system "$ENGINE_RUN"
    find /sys/fs/cgroup -depth -type d -path '*/docker*' -exec rmdir {} + 2>/dev/null || true
}

stop() {
    if [ ! -e "$ENGINE_RUN/started.pid" ]; then
        say "no engine of ours runs"
        return
    fi
    stop_ours
    say "stopped"
}

case "${1:-}" in
start) start ;;
stop) stop ;;
*) die "usage: $0 start|stop" ;;
esac
