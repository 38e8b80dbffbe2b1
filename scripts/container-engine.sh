# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced: finds what builds and runs containers here and sets `engine` to its name. Exports
# CONTAINERS_CONF where podman cannot run anything as it is configured, and settings that can help do.
# environment: NX_CONTAINER_ENGINE=docker|podman (default: podman, else docker)

# With docker as with podman, an image that exists has an id.
has_image() { [ -n "$("$engine" images -q "$1" 2>/dev/null)" ]; }

# podman as it is configured needs systemd, cgroups in one hierarchy, and the right to raise limits.
# A machine without an init system (a container, a build machine) may have none of them.
make_podman_conf() {
    cat >"$1" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
}

# What a failure may come from. Without root podman takes other things of the kernel than are looked for.
explain_failure() {
    [ "$engine" != podman ] || [ "$(id -u)" -ne 0 ] || scripts/check-containers.sh --quiet >&2
}

find_engine() {
    local conf=$PWD/build/image/containers.conf
    engine=${NX_CONTAINER_ENGINE:-}
    if [ -z "$engine" ]; then
        for engine in podman docker ''; do
            command -v "$engine" >/dev/null && break
        done
    fi
    case $engine in
    podman | docker) ;;
    *)
        echo "error: neither podman nor docker is here: scripts/install-deps.sh image installs podman" >&2
        return 1
        ;;
    esac
    if [ "$engine" = podman ] && [ -z "${CONTAINERS_CONF:-}" ] && [ ! -d /run/systemd/system ]; then
        mkdir -p "${conf%/*}"
        make_podman_conf "$conf"
        export CONTAINERS_CONF=$conf
    fi
}

find_engine
