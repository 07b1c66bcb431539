#!/usr/bin/env bash
# Make sure that the image which our Dockerfiles start from is there: pulled where a registry answers, otherwise built
# from the Debian archive that this machine itself installs from.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/ci/common.sh
. "$here/common.sh"

# Where the machine's certificates lie in the image: not where its own package of them will write.
MACHINE_CA=/usr/local/share/machine-ca.pem

machine_ca() {
    local file
    for file in "${PIP_CERT:-}" "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt; do
        if [ -n "$file" ] && [ -r "$file" ]; then
            echo "$file"
            return
        fi
    done
}

# What pip must know of this machine's registry: addresses only, since local folders are not in the image.
pip_index() {
    local value
    value="${PIP_INDEX_URL:-$(python3 -m pip config get global.index-url 2>/dev/null || true)}"
    case "$value" in http://* | https://*) echo "$value" ;; esac
}

write_apt_settings() {
    local root="$1"
    debian_archives | sed -n "s/^\([^ ]*\) $(codename)\(-updates\|-security\)\? /deb \1 $BASE_SUITE\2 /p" \
        >"$root/etc/apt/sources.list"
    # Proxies and time checks as here; no translations, and no package cache in a layer.
    {
        apt-config dump | grep -E '^Acquire::(https?::Proxy|ftp::Proxy|Check-Valid-Until|Check-Date|Retries) ' || true
        printf '%s\n' 'Acquire::Languages "none";' 'APT::Install-Recommends "false";'
    } >"$root/etc/apt/apt.conf.d/90machine"
}

bootstrap() {
    local tarball="$1" archive work
    archive="$(main_archive)"
    [ -n "$archive" ] || die "$BASE_IMAGE cannot be pulled, and no Debian archive is among this machine's apt sources"
    command -v debootstrap >/dev/null || quietly apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 debootstrap ||
        die "apt-get could not install debootstrap"
    say "building $BASE_IMAGE from the Debian archive"
    work="$(mktemp -d /var/tmp/test-framework-base.XXXXXX)"
    # shellcheck disable=SC2064 # this directory, now
    trap "umount '$work/root' 2>/dev/null; rm -rf --one-file-system '$work'" EXIT
    mkdir "$work/root"
    # In memory where that is allowed: dpkg waits for the disk after every file.
    mount -t tmpfs -o size=1g,mode=755 tmpfs "$work/root" 2>/dev/null || true
    quietly debootstrap --variant=minbase "$BASE_SUITE" "$work/root" "$archive" || die "debootstrap failed"
    rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/* "$work"/root/usr/share/{doc,man,locale}/*
    write_apt_settings "$work/root"
    [ -z "$(machine_ca)" ] || install -m 644 "$(machine_ca)" "$work/root$MACHINE_CA"
    tar -C "$work/root" --numeric-owner -cf "$tarball.partial" .
    mv "$tarball.partial" "$tarball"
    umount "$work/root" 2>/dev/null || true
    rm -rf --one-file-system "$work"
    trap - EXIT
}

import() {
    local changes=(--change 'CMD ["bash"]') index
    [ -z "$(machine_ca)" ] || changes+=(--change "ENV PIP_CERT=$MACHINE_CA")
    index="$(pip_index)"
    [ -z "$index" ] || changes+=(--change "ENV PIP_INDEX_URL=$index")
    docker import "${changes[@]}" "$1" "$BASE_IMAGE" >/dev/null
}

main() {
    local tarball
    docker image inspect "$BASE_IMAGE" >/dev/null 2>&1 && return
    if timeout 60 docker pull -q "$BASE_IMAGE" >/dev/null 2>&1; then
        return
    fi
    [ "$(id -u)" -eq 0 ] || die "$BASE_IMAGE cannot be pulled, and building it needs root"
    if [ -n "$ENGINE_CACHE" ]; then
        mkdir -p "$ENGINE_CACHE"
        tarball="$ENGINE_CACHE/$BASE_SUITE.tar"
        [ -e "$tarball" ] || bootstrap "$tarball"
        import "$tarball"
    else
        tarball="$(mktemp /var/tmp/test-framework-base-XXXXXX.tar)"
        bootstrap "$tarball"
        import "$tarball"
        rm -f "$tarball"
    fi
}

main
