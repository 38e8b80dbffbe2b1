#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs deploy/systemd/nexus.service under a real systemd: PID 1 of a container with this machine's
# Debian, made by debootstrap (build/systemd-root, 2 minutes the first time). Says line by line what it
# found. Not part of `make test`: it takes root, podman with runc, and a container that is privileged.
# usage: systemd-test.sh
# shellcheck disable=SC2016  # what stands in single quotes is for the shell inside
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

root=build/systemd-root
name=nexus-systemd-test-$$
packages=systemd,dbus,ca-certificates,curl,libwslay1,libuv1,libseccomp2,libjansson4
failures=0

say() { printf 'systemd-test: %s\n' "$*" >&2; }

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

make_root() {
    local codename curl_library
    [ ! -e "$root/.made" ] || return 0
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
    # Its name says which time_t it was built with.
    curl_library=$(ldd build/release/bin/nexus | sed -n 's/^\t\(libcurl\)\.so\.\([0-9]*\).*/\1\2/p')
    [ "$codename" = bookworm ] || curl_library=${curl_library}t64
    say "making a root file system of Debian $codename"
    rm -rf "$root"
    debootstrap --variant=minbase --include="$packages,$curl_library" "$codename" "$root" >"$root.log" 2>&1 || {
        tail -n 5 "$root.log" >&2
        return 1
    }
    # What a container has no use for.
    for unit in systemd-firstboot systemd-udevd console-getty systemd-logind; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit.service"
    done
    touch "$root/.made"
}

install_into_root() {
    DESTDIR=$PWD/$root cmake --install build/release --prefix /usr/local --strip >/dev/null ||
        return 1
    mkdir -p "$root/etc/nexus/panels"
    cp examples/*.nxml "$root/etc/nexus/panels/"
    cp deploy/systemd/nexus.service "$root/etc/systemd/system/"
    (umask 077 && scripts/make-secret.sh --raw >"$root/etc/nexus/jwt-secret")
    # As `systemctl enable` does.
    ln -sf ../nexus.service "$root/etc/systemd/system/multi-user.target.wants/"
}

[ "$(id -u)" -eq 0 ] || { say "error: takes root" && exit 1; }
for program in podman runc debootstrap; do
    command -v "$program" >/dev/null || { say "error: $program is missing" && exit 1; }
done
if ! make_root || ! install_into_root; then
    say "error: no root file system"
    exit 1
fi

trap 'podman rm -f -t 0 "$name" >/dev/null 2>&1' EXIT
export CONTAINERS_CONF=$PWD/build/systemd-test.conf
printf '%s\n' '[containers]' 'default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]' \
    '[engine]' 'runtime = "runc"' 'cgroup_manager = "cgroupfs"' 'events_logger = "file"' >"$CONTAINERS_CONF"
# Shared propagation, as a machine has it: systemd hands credentials over through mounts.
podman run -d --name "$name" --privileged --systemd=always --cgroupns=private \
    --rootfs "$PWD/$root" \
    sh -c 'mount --make-rshared / && exec /lib/systemd/systemd --system' >/dev/null || exit 1
for _ in $(seq 100); do
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
    pid=$(systemctl show -p MainPID --value nexus); before=$(systemctl show -p NRestarts --value nexus)
    for one in /proc/[0-9]*; do
        [ "$(cat "$one/comm" 2>/dev/null)" = nexus-sandbox ] && kill -9 "${one#/proc/}"
    done
    for _ in $(seq 50); do nexus health >/dev/null 2>&1 && break; sleep 0.1; done
    nexus health && [ "$(systemctl show -p MainPID --value nexus)" = "$pid" ]'
holds "stopping waits for what is under way" sh -c '
    token=$(JWT_SECRET_FILE=/etc/nexus/jwt-secret nexus token --sub test --permission "*")
    curl -s -X POST -H "Authorization: Bearer $token" -d "{\"count\":2,\"ms\":1000}" \
        -H "Content-Type: application/json" http://127.0.0.1:3000/panels/fanout/trigger/oneByOne >/tmp/result &
    sleep 0.5; systemctl stop nexus; wait
    grep -F "\"status\":\"success\"" /tmp/result && [ "$(systemctl show -p Result --value nexus)" = success ]'
inside systemd-analyze security nexus --no-pager | tail -n 1
[ "$failures" -eq 0 ] || inside journalctl -u nexus --no-pager -o cat -n 20
exit "$((failures > 0))"
