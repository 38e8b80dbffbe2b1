#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the container image of deploy/Dockerfile, and puts its bill of materials and its list of files
# into build/image. Where there is no debian:trixie-slim and podman cannot get one, the base is made with
# debootstrap from the Debian mirror this machine uses (root or sudo), and kept for the next time.
# `reproduce` compiles everything a second time and compares: the same sources have to give the same layers.
# usage: image.sh [production|development|reproduce]
# environment: NX_IMAGE             the image's name (default: localhost/nexus-runtime)
#              NX_BASE_IMAGE        build on this image instead, NAME or NAME@sha256:DIGEST
#              NX_CONTAINER_ENGINE  docker or podman
set -euo pipefail
cd "$(dirname "$0")/.."

image=${NX_IMAGE:-localhost/nexus-runtime}
suite=trixie
out=build/image

say() { printf 'image: %s\n' "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

# ---- The base ---------------------------------------------------------------------------------------

# list_mirrors: what fetch-quickjs.sh tries, too.
list_mirrors() { scripts/fetch-quickjs.sh --list-mirrors; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# bootstrap ARCHIVE: a minimal Debian as a tar archive, with apt's sources and without its leftovers.
bootstrap() {
    local mirror tree archive=$1
    command -v debootstrap >/dev/null || die "no $suite image is here, and no debootstrap to make one"
    tree=$(mktemp -d "${TMPDIR:-/tmp}/nexus-base.XXXXXX")
    # shellcheck disable=SC2064  # this very directory
    trap "as_root rm -rf --one-file-system '$tree'" EXIT
    while IFS= read -r mirror; do
        say "making a minimal Debian $suite with debootstrap (half a minute)"
        as_root rm -rf --one-file-system "$tree"
        if as_root debootstrap --variant=minbase "$suite" "$tree" "$mirror" >"$out/debootstrap.log" 2>&1; then
            as_root rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/* "$tree"/var/log/*
            # As in Debian's own slim image: what a build that fails throws away need not be synced to the disk.
            as_root tee "$tree/etc/dpkg/dpkg.cfg.d/container" >/dev/null <<'END'
force-unsafe-io
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
END
            as_root tee "$tree/etc/apt/apt.conf.d/container" >/dev/null <<<'Acquire::Languages "none";'
            # /dev comes from the container's runtime.
            as_root tar -C "$tree" --sort=name --numeric-owner --exclude='./dev/*' -cf "$archive.new" .
            mv "$archive.new" "$archive"
            return
        fi
    done < <(list_mirrors)
    tail -n 15 "$out/debootstrap.log" >&2
    die "debootstrap could not make the base"
}

# digest NAME: NAME@sha256:..., by which the build names its base.
digest() {
    local name=$1 found
    found=$("$engine" image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$name" | head -n 1)
    [ -n "$found" ] || die "$name has no digest: pull it from a registry, or import it with podman"
    printf '%s\n' "$found"
}

base_image() {
    local name=localhost/nexus-base:$suite candidate
    if [ -n "${NX_BASE_IMAGE:-}" ]; then
        case $NX_BASE_IMAGE in
        *@sha256:*) printf '%s\n' "$NX_BASE_IMAGE" ;;
        *) digest "$NX_BASE_IMAGE" ;;
        esac
        return
    fi
    for candidate in "debian:$suite-slim" "docker.io/library/debian:$suite-slim"; do
        if has_image "$candidate"; then
            digest "$candidate"
            return
        fi
    done
    if [ "$engine" = docker ]; then
        docker pull -q "debian:$suite-slim" >&2
        digest "debian:$suite-slim"
        return
    fi
    if ! has_image "$name"; then
        [ -f "$out/base.tar" ] || bootstrap "$PWD/$out/base.tar"
        podman import -q "$out/base.tar" "$name" >/dev/null
    fi
    digest "$name"
}

# ---- The image --------------------------------------------------------------------------------------

# build STAGE TAG [OPTION]...
build() {
    local stage=$1 tag=$2
    shift 2
    local -a options=(--target "$stage" -t "$tag" -f deploy/Dockerfile
        --build-arg "BASE_IMAGE=${base%@*}" --build-arg "BASE_DIGEST=${base#*@}" "$@")
    if [ "$engine" = docker ]; then
        SOURCE_DATE_EPOCH=0 docker build "${options[@]}" --build-arg SOURCE_DATE_EPOCH=0 .
    else
        # HEALTHCHECK is docker's; OCI's format has none.
        podman build --format docker --layers --timestamp 0 --pull=never "${options[@]}" .
    fi
}

# copy_out TAG PATH...: copies files of an image into build/image.
copy_out() {
    local tag=$1 container path
    shift
    container=$("$engine" create "$tag" /none)
    for path in "$@"; do "$engine" cp "$container:$path" "$out/"; done
    "$engine" rm "$container" >/dev/null
}

production() {
    local version revision
    version=$(sed -n 's/^project(nexus VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
    revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
    # Tagged before the rest is built, so that its layers are there for the next time.
    build kernel "$image-kernel"
    # What is beside the image, and what its tests attack it with.
    copy_out "$image-kernel" /out/sbom.spdx.json /src/build/release/bin/escape-sandbox
    build production "$image" --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
    python3 scripts/image_files.py "$engine" "$image" "$out"
}

layers() { "$engine" image inspect --format '{{.RootFS.Layers}}' "$1"; }

reproduce() {
    local once again
    production
    once=$(layers "$image")
    build production "$image-again" --build-arg "REBUILD=$(date +%s)"
    again=$(layers "$image-again")
    "$engine" rmi "$image-again" >/dev/null
    [ "$once" = "$again" ] || die "two builds differ: layers $once, then $again"
    say "two builds have the same layers: $once"
}

main() {
    local stage=${1:-production} base
    mkdir -p "$out"
    scripts/install-deps.sh image
    # shellcheck source=scripts/container-engine.sh
    . scripts/container-engine.sh
    trap '[ $? -eq 0 ] || explain_failure' EXIT
    base=$(base_image)
    say "building $image from ${base%@*} with $engine"
    case $stage in
    production) production ;;
    development) build development "$image-dev" ;;
    reproduce) reproduce ;;
    *) die "usage: image.sh [production|development|reproduce]" ;;
    esac
}

main "$@"
