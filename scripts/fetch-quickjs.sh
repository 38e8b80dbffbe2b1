#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Puts the QuickJS sources in OUTDIR/quickjs-2025.04.26. They are never committed: they come from
# Debian 13's source package through apt's own client, or from the file QUICKJS_TARBALL names.
# Whatever brought the tarball, nothing is unpacked before its sha256 is the one written here.
# Needs no root: apt gets a state directory of its own under OUTDIR and the machine's is only read.
# usage: fetch-quickjs.sh OUTDIR
#        fetch-quickjs.sh --list-mirrors    (the Debian mirrors it would ask)
set -euo pipefail

version=2025.04.26
revision=1
suite=trixie
sha256=ec81da5b3249ed648dbc7df4a1654988910e66a118d9b71cb63534216efcfbbe
keyring=${DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
tarball=quickjs_$version.orig.tar.xz

say() { printf 'fetch-quickjs: %s\n' "$*" >&2; }

die() {
    say "error: $*"
    say "two ways to get it: apt with access to a Debian mirror (any machine on which 'apt-get update'"
    say "works will do), or QUICKJS_TARBALL=/path/to/$tarball"
    say "(the upstream tarball of Debian's source package quickjs $version-$revision, sha256 $sha256)"
    exit 1
}

has_right_sum() { [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$sha256" ]; }

# The mirrors this machine is configured to take Debian's main archive from, most certain first:
# index files already fetched name their origin; where the lists were removed (container images),
# the sources' own suite must do. A wrong guess does no harm, for the archive key decides below.
list_mirrors() {
    local codename option
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016  # apt expands these, not the shell
    for option in --release-info --no-release-info; do
        apt-get indextargets "$option" 2>/dev/null \
            --format '$(ORIGIN)|$(LABEL)|$(CODENAME)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)' || true
    done | awk -F'|' -v codename="$codename" '
        $5 != "main" || $6 ~ /^cdrom:/ { next }
        $1 == "Debian" && $2 == "Debian" && $3 == codename { print "0 " $6; next }
        $1 == "Debian" && $2 == "Debian"                   { print "1 " $6; next }
        $4 == codename || $4 == "stable" || $4 == "oldstable" { print "2 " $6 }
    ' | sort -u | cut -d' ' -f2- | awk '!seen[$0]++'
}

# private_apt DIR ARGS...: apt-get with all of its state in DIR. Settings of the machine such as
# proxies still apply; its package lists, sources and pinning do not.
private_apt() {
    local dir=$1
    shift
    apt-get -q -o Dir::State="$dir/state" -o Dir::State::status="$dir/state/status" \
        -o Dir::Cache="$dir/cache" -o Dir::Log="$dir/log" \
        -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o APT::Sandbox::User="$(id -un)" -o APT::Get::List-Cleanup=false \
        -o APT::Update::Error-Mode=any \
        -o Acquire::Languages=none -o Acquire::Retries=3 \
        -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 "$@"
}

# download_from MIRROR DIR: leaves the tarball in DIR, or fails with apt's messages in DIR/apt.log.
download_from() {
    local mirror=$1 dir=$2
    rm -rf "$dir/state" "$dir/cache"
    mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial" "$dir/log"
    : >"$dir/state/status"
    printf 'deb-src [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite" >"$dir/sources.list"
    private_apt "$dir" update >>"$dir/apt.log" 2>&1 || return 1
    # A stable update may raise the Debian revision; the upstream tarball stays what it is.
    (cd "$dir" && private_apt "$dir" source --download-only --tar-only \
        "quickjs=$version-$revision" >>apt.log 2>&1) ||
        (cd "$dir" && private_apt "$dir" source --download-only --tar-only quickjs >>apt.log 2>&1) ||
        return 1
    [ -f "$dir/$tarball" ]
}

# fetch_with_apt DIR: tries each mirror in turn, each twice, since mirrors change under one's feet.
fetch_with_apt() {
    local dir=$1 mirror mirrors attempt
    command -v apt-get >/dev/null || die "this system has no apt-get"
    [ -r "$keyring" ] || die "$keyring is missing (package debian-archive-keyring)"
    mirrors=$(list_mirrors)
    [ -n "$mirrors" ] || die "apt is configured with no mirror of Debian's main archive"
    for attempt in 1 2; do
        while IFS= read -r mirror; do
            say "getting the source package quickjs $version-$revision through apt (about 15 s)"
            download_from "$mirror" "$dir" && return 0
        done <<<"$mirrors"
        [ "$attempt" = 2 ] || sleep 3
    done
    tail -n 15 "$dir/apt.log" >&2
    die "apt could not download the source package"
}

main() {
    [ $# -eq 1 ] || { say "usage: fetch-quickjs.sh OUTDIR | --list-mirrors"; exit 2; }
    if [ "$1" = --list-mirrors ]; then
        list_mirrors
        exit
    fi
    mkdir -p "$1"
    local out target source
    out=$(cd "$1" && pwd)
    target=$out/quickjs-$version
    # Two builds may ask for the same directory at once: one fetches, the other waits for it.
    exec 9>"$out/.fetch-quickjs.lock"
    flock 9
    [ "$(cat "$target/.nx-sha256" 2>/dev/null)" != "$sha256" ] || exit 0

    scratch=$(mktemp -d "$out/.fetch-quickjs.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    if [ -n "${QUICKJS_TARBALL:-}" ]; then
        [ -r "$QUICKJS_TARBALL" ] || die "QUICKJS_TARBALL=$QUICKJS_TARBALL cannot be read"
        source=$QUICKJS_TARBALL
    else
        fetch_with_apt "$scratch"
        source=$scratch/$tarball
    fi
    has_right_sum "$source" || die "$source is not the expected file: its sha256 differs"

    mkdir "$scratch/tree"
    tar -xJf "$source" -C "$scratch/tree" --strip-components=1 --no-same-owner
    printf '%s\n' "$sha256" >"$scratch/tree/.nx-sha256"
    rm -rf "$target"
    mv "$scratch/tree" "$target"
    say "QuickJS $version is in $target"
}

main "$@"
