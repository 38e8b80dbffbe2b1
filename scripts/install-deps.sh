#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs from Debian 12's or 13's own packages what is missing for the groups named; with nothing
# missing it only looks (one dpkg-query) and needs no rights at all.
# usage: install-deps.sh [--list] [build|test|lint|bench|image|all]...   (default: all)
# `build` is what the groups `guest` (QuickJS to wasm to C) and `kernel` (the rest) need together.
set -euo pipefail

say() { printf 'install-deps: %s\n' "$*" >&2; }

# clang_version: the version Debian's package `clang` stands for; the wasm32 and sanitizer runtimes
# carry it in their names.
clang_version() {
    case "$1" in
    12) echo 14 ;;
    13) echo 19 ;;
    esac
}

# node_packages: Node.js and npm, unless a Node.js that is new enough is here, from wherever: Debian's
# does not go with another's.
node_packages() {
    local version
    version=$(node --version 2>/dev/null) || version=v0
    version=${version#v}
    if [ "${version%%.*}" -lt 18 ] || ! command -v npm >/dev/null; then
        printf '%s\n' nodejs npm
    fi
}

# group_packages GROUP CLANG_VERSION: one package a line. Every group but `image` builds on `build`.
group_packages() {
    case "$1" in
    guest)
        printf '%s\n' ca-certificates gcc libc6-dev patch cmake ninja-build clang lld wasi-libc \
            "libclang-rt-$2-dev-wasm32" wabt binaryen xz-utils debian-archive-keyring
        ;;
    kernel)
        printf '%s\n' ca-certificates gcc libc6-dev pkg-config cmake ninja-build libwslay-dev \
            libuv1-dev libseccomp-dev uthash-dev libjansson-dev libssl-dev libcurl4-openssl-dev \
            libcmocka-dev python3
        ;;
    build)
        group_packages guest "$2"
        group_packages kernel "$2"
        printf '%s\n' build-essential llvm
        ;;
    test)
        printf '%s\n' python3-pytest python3-requests python3-websockets python3-jwt \
            python3-cryptography curl mandoc libfaketime "libclang-rt-$2-dev" \
            python3-yaml python3-jsonschema python3-seccomp systemd
        node_packages
        ;;
    lint) printf '%s\n' clang-format clang-tidy cppcheck shellcheck ;;
    bench) printf '%s\n' wrk python3-requests ;;
    image)
        # Whoever has docker needs no second engine; its client alone is none.
        docker info >/dev/null 2>&1 || printf '%s\n' podman podman-compose runc catatonit debootstrap
        printf '%s\n' binutils ca-certificates openssl python3-pytest python3-pytest-xdist python3-requests \
            python3-websockets
        # To render the manifests whose pod is run.
        printf '%s\n' python3-yaml
        command -v npm >/dev/null || printf '%s\n' nodejs npm
        ;;
    *) return 1 ;;
    esac
}

# missing_packages PACKAGE...: those of them that are not installed.
missing_packages() {
    # dpkg-query fails when it does not know one of the names: that name is missing, not an error.
    # shellcheck disable=SC2016  # dpkg-query expands these, not the shell
    local installed
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
        sed -n 's/^installed //p' || true)
    printf '%s\n' "$@" | grep -vxF -f <(printf '%s\n' "$installed") || true
}

# install PACKAGE...: fetches package lists only when apt does not know one of the names, or when
# what it knows is so old that the mirror has moved on.
install() {
    local -a root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            say "error: not root, and no sudo; as root run: apt-get install --no-install-recommends $*"
            exit 1
        }
        root=(sudo)
    fi
    local -a apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y
        -o Acquire::Retries=3 -o Dpkg::Use-Pty=0)
    local updated=no known
    known=$(apt-cache show --no-all-versions "$@" 2>/dev/null | grep -c '^Package: ') || true
    if [ "$known" -lt $# ]; then
        "${apt[@]}" update
        updated=yes
    fi
    "${apt[@]}" install --no-install-recommends "$@" && return
    [ "$updated" = no ] || return 1
    say "apt's package lists look out of date: fetching them and trying once more"
    "${apt[@]}" update
    "${apt[@]}" install --no-install-recommends "$@"
}

main() {
    local list=no system version group
    local -a groups=() packages=() missing=()
    for group in "$@"; do
        case "$group" in
        --list) list=yes ;;
        all) groups+=(build test lint bench image) ;;
        guest | kernel | build | test | lint | bench | image) groups+=("$group") ;;
        *)
            say "usage: install-deps.sh [--list] [build|test|lint|bench|image|all]..."
            exit 2
            ;;
        esac
    done
    [ ${#groups[@]} -gt 0 ] || groups=(build test lint bench image)

    # Whoever has the tools by other means may go on: only installing needs a known system.
    [ -z "${NX_SKIP_DEPS:-}" ] || exit 0
    # shellcheck source=/dev/null
    system=$(. /etc/os-release 2>/dev/null && printf '%s %s' "${ID:-unknown}" "${VERSION_ID:-}") || true
    version=$(clang_version "${system#debian }")
    mapfile -t packages < <(for group in "${groups[@]}"; do
        group_packages "$group" "${version:-19}"
    done | awk '!seen[$0]++')
    if [ "$list" = yes ]; then
        printf '%s\n' "${packages[@]}"
        exit 0
    fi
    if [ -z "$version" ]; then
        say "error: this is '$system'; packages are installed on Debian 12 and 13 only. Install what"
        say "answers to these Debian packages, then set NX_SKIP_DEPS=1: ${packages[*]}"
        exit 1
    fi

    mapfile -t missing < <(missing_packages "${packages[@]}")
    [ ${#missing[@]} -gt 0 ] || exit 0
    say "installing with apt: ${missing[*]}"
    install "${missing[@]}"
}

main "$@"
