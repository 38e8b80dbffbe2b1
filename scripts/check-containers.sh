#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tries each thing of the kernel that podman takes to run a container as root, one line for each, and fails if one
# is refused: a machine that is itself a container, or a sandbox, may have only some of them. Leaves nothing behind.
# image.sh and image-test.sh run it when they have failed.
# usage: check-containers.sh [--quiet]     --quiet: only what fails
set -uo pipefail

quiet=${1:-}
failures=0

# can WHAT COMMAND...: what fails is said with the command's own last words.
can() {
    local what=$1 output
    shift
    if output=$("$@" 2>&1); then
        [ -n "$quiet" ] || echo "ok    $what"
    else
        echo "FAIL  $what: $(tail -n 1 <<<"$output")"
        failures=$((failures + 1))
    fi
}

# In a mount namespace of its own, and a folder that is gone with it. What a shell runs there goes to /bin/sh.
apart() {
    unshare --mount sh -euc "mount -t tmpfs tmpfs /mnt; cd /mnt; mkdir lower upper work merged; $1"
}

# Each controller has a hierarchy (version 1), or they share one (version 2).
make_cgroup() {
    local parent=/sys/fs/cgroup/$1 name=nexus-probe-$$
    if [ ! -d "$parent" ]; then
        parent=/sys/fs/cgroup
        grep -qw "$1" "$parent/cgroup.controllers" || return 1
    fi
    mkdir "$parent/$name" && rmdir "$parent/$name"
}

[ "$(id -u)" -eq 0 ] || {
    echo "check-containers: root's rights are what is looked at: run it as root" >&2
    exit 2
}
can "a mount namespace, and a tmpfs in it" apart true
can "an overlay of directories" apart 'mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged'
can "a bind mount that is read-only" apart 'mount --bind lower merged; mount -o remount,bind,ro merged'
can "device files" apart 'mknod null c 1 3; : >null'
can "changing the root directory" chroot / true
for one in pid uts ipc cgroup; do
    can "a namespace: $one" unshare "--$one" --fork true
done
can "/proc in a namespace of processes" unshare --mount --pid --fork sh -c 'mount -t proc proc /proc'
for one in memory pids; do
    can "a control group: $one" make_cgroup "$one"
done
can "a network namespace" unshare --net true
# podman's own helpers need no such programs; where they are, they tell what the kernel has.
! command -v ip >/dev/null || can "a bridge, and a pair of interfaces" unshare --net sh -ec '
    ip link add nexus0 type bridge; ip link add veth0 type veth peer name veth1; ip link set veth0 master nexus0'
! command -v iptables >/dev/null || can "address translation (iptables)" unshare --net sh -ec '
    iptables -t nat -A POSTROUTING -s 10.0.0.0/8 -m comment --comment nexus -j MASQUERADE'
[ "$failures" -eq 0 ] || {
    echo "check-containers: error: this machine refuses what containers take, see above" >&2
    exit 1
}
