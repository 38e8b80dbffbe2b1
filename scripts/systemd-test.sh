#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs deploy/systemd/nexus.service under a real systemd: process 1 of a container that has this machine's
# /usr, with the release build in its /usr/local, and nothing else of it; all that is written is in memory. Says
# line by line what it found. Not part of `make test`: it takes root, podman with runc, and a container that is
# privileged.
# usage: systemd-test.sh
# shellcheck disable=SC2016  # what stands in single quotes is for the shell inside
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

name=nexus-systemd-test-$$
failures=0

say() { printf 'systemd-test: %s\n' "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

inside() { podman exec "$name" "$@" 2> >(grep -v 'level=warning' >&2); }

# holds WHAT COMMAND...: one line of output; the command is run inside.
holds() {
    local what=$1 output
    shift
    if output=$(inside "$@" 2>&1); then
        echo "ok    $what"
    else
        echo "FAIL  $what: $output"
        failures=$((failures + 1))
    fi
}

# make_root DIR: a system without state, as systemd has it start with /usr alone, in DIR/root.
make_root() {
    local link root=$1/root
    mount -t tmpfs -o size=256m,mode=755 tmpfs "$1" || return 1
    mkdir -p "$1/upper" "$1/work" "$root"/{usr,etc/systemd/system,proc,sys,dev,run,tmp,var,root}
    mount -t overlay -o "lowerdir=/usr,upperdir=$1/upper,workdir=$1/work" overlay "$root/usr" || return 1
    for link in /bin /sbin /lib*; do
        [ ! -L "$link" ] || cp -P "$link" "$root/"
    done
    cp /etc/{passwd,group,nsswitch.conf,ld.so.cache} "$root/etc/"
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    mask_units "$root"
}

# mask_units ROOT: leaves of what systemd starts before any service only the journal and the making of users and
# folders. The others set up a machine, and a privileged container is on this one: its kernel's settings, its
# modules, its audit log.
mask_units() {
    local unit
    for unit in systemd-remount-fs.service \
        $(cd "$1/usr/lib/systemd/system" && printf '%s\n' {sysinit,local-fs,sockets}.target.wants/*); do
        case ${unit##*/} in
        systemd-journald.* | systemd-journald-dev-log.socket | systemd-sysusers.service | \
            systemd-tmpfiles-setup.service | '*') ;;
        *) ln -sf /dev/null "$1/etc/systemd/system/${unit##*/}" ;;
        esac
    done
}

install_into() {
    DESTDIR=$1 cmake --install build/release --prefix /usr/local --strip >/dev/null || return 1
    mkdir -p "$1/etc/nexus/panels"
    cp examples/*.nxml "$1/etc/nexus/panels/"
    cp deploy/systemd/nexus.service "$1/etc/systemd/system/"
    (umask 077 && scripts/make-secret.sh --raw >"$1/etc/nexus/jwt-secret")
}

# shellcheck disable=SC2317  # the trap calls it
clean_up() {
    podman rm -f -t 0 "$name" >/dev/null 2>&1
    umount "$place/root/usr" "$place" && rmdir "$place"
}

[ "$(id -u)" -eq 0 ] || die "takes root"
scripts/install-deps.sh test image || exit 1
for program in podman runc curl; do
    command -v "$program" >/dev/null || die "$program is missing"
done
[ -x build/release/bin/nexus ] || die "there is no release build: run make build"
place=$(mktemp -d "${TMPDIR:-/tmp}/nexus-systemd.XXXXXX")
trap clean_up EXIT
make_root "$place" || die "no root file system: it takes the rights to mount a tmpfs and an overlay"
install_into "$place/root" || die "the build could not be installed"

export CONTAINERS_CONF=$PWD/build/systemd-test.conf
printf '%s\n' '[containers]' 'default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]' \
    '[engine]' 'runtime = "runc"' 'cgroup_manager = "cgroupfs"' 'events_logger = "file"' >"$CONTAINERS_CONF"
# Shared propagation, as a machine has it: systemd hands credentials over through mounts. The unit is what is
# started, and what it needs.
podman run -d --name "$name" --privileged --systemd=always --cgroupns=private --rootfs "$place/root" \
    sh -c 'mount --make-rshared / && exec /lib/systemd/systemd --system --unit=nexus.service' >/dev/null || exit 1
for _ in $(seq 300); do
    inside curl -sf http://127.0.0.1:3000/ready >/dev/null 2>&1 && break
    sleep 0.2
done

holds "the unit is active" systemctl is-active nexus
holds "its user is made for it, and is not root" sh -c '[ "$(systemctl show -p UID --value nexus)" -gt 60000 ]'
holds "every process: no capabilities, no new privileges, a filter" sh -c '
    group=$(systemctl show -p ControlGroup --value nexus); count=0
    for pid in $(find /sys/fs/cgroup -path "*$group/cgroup.procs" -exec cat {} + | sort -u); do
        count=$((count + 1))
        for line in "CapEff:	0000000000000000" "CapBnd:	0000000000000000" "NoNewPrivs:	1" "Seccomp:	2"; do
            grep -qxF "$line" "/proc/$pid/status" || { echo "$pid: not $line"; exit 1; }
        done
    done
    [ "$count" -ge 3 ]'
holds "the workers have their namespaces, Landlock and filter" sh -c '
    health=$(curl -s http://127.0.0.1:3000/health)
    for part in "\"seccomp\":\"filter\"" "\"landlock\":true" "\"namespaces\":true" "\"noNewPrivs\":true"; do
        case $health in *"$part"*) ;; *) echo "no $part in $health"; exit 1 ;; esac
    done'
holds "the credential is the service's alone" sh -c '
    [ "$(stat -c %a /run/credentials/nexus.service/jwt-secret)" = 400 ]'
holds "the file system is read-only but for the cache" sh -c '
    root=/proc/$(systemctl show -p MainPID --value nexus)/root
    for folder in / /usr /etc/nexus /var /root; do
        touch "$root$folder/x" 2>/dev/null && echo "$folder is writable" && exit 1
    done
    touch "$root/var/cache/nexus/x" && rm "$root/var/cache/nexus/x"'
holds "bytecode is kept in the cache" sh -c '
    [ -n "$(ls "/proc/$(systemctl show -p MainPID --value nexus)/root/var/cache/nexus/bytecode")" ]'
holds "nothing but the server can be executed" sh -c '
    pid=$(systemctl show -p MainPID --value nexus)
    nsenter -t "$pid" -m /bin/true 2>/dev/null && exit 1
    nsenter -t "$pid" -m /usr/local/bin/nexus version >/dev/null'
holds "a handler runs for a token" sh -c '
    token=$(JWT_SECRET_FILE=/etc/nexus/jwt-secret nexus token --sub test --permission "*")
    curl -s -X POST -H "Authorization: Bearer $token" -d "{}" -H "Content-Type: application/json" \
        http://127.0.0.1:3000/panels/counter/trigger/increment | grep -F "\"status\":\"success\""'
holds "a worker that is killed does not end the service" sh -c '
    pid=$(systemctl show -p MainPID --value nexus)
    killed=$(grep -lx nexus-sandbox /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3)
    # The workers follow their zygote by themselves: some may be gone when it is their turn.
    [ -n "$killed" ] || exit 1
    kill -9 $killed 2>/dev/null || true
    # Buried is what the server has noticed; before that it is healthy as well.
    for _ in $(seq 300); do
        left=; for one in $killed; do [ ! -e "/proc/$one" ] || left=$one; done
        [ -n "$left" ] || ! nexus health >/dev/null 2>&1 || break
        sleep 0.1
    done
    [ -z "$left" ] && nexus health && [ "$(systemctl show -p MainPID --value nexus)" = "$pid" ]'
holds "stopping waits for what is under way" sh -c '
    token=$(JWT_SECRET_FILE=/etc/nexus/jwt-secret nexus token --sub test --permission "*")
    curl -s -X POST -H "Authorization: Bearer $token" -d "{\"count\":2,\"ms\":1000}" \
        -H "Content-Type: application/json" http://127.0.0.1:3000/panels/fanout/trigger/oneByOne >/tmp/result &
    for _ in $(seq 300); do
        case $(curl -s http://127.0.0.1:3000/health) in *"\"activeInstances\":1,"*) break ;; esac
        sleep 0.1
    done
    systemctl stop nexus; wait
    grep -F "\"status\":\"success\"" /tmp/result && [ "$(systemctl show -p Result --value nexus)" = success ]'
inside systemd-analyze security nexus --no-pager | tail -n 1
[ "$failures" -eq 0 ] || inside journalctl -u nexus --no-pager -o cat -n 20
exit "$((failures > 0))"
