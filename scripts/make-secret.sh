#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes a new random secret for signing tokens (HS256) and prints it as a Kubernetes Secret, or bare
# for everything else. It is printed to a pipe or a file only, and not kept anywhere.
# usage: make-secret.sh [--namespace NS] [--name NAME] | kubectl apply -f -
#        make-secret.sh --raw > FILE
set -euo pipefail
umask 077

usage() {
    sed -n 's/^# \(usage: \|       \)\(make-secret.*\)/\1\2/p' "$0" >&2
    exit 2
}

namespace=nexus name=nexus-jwt raw=no
while [ $# -gt 0 ]; do
    case "$1" in
    --namespace | --name)
        [ $# -ge 2 ] || usage
        # What Kubernetes takes for a name; nothing else may get into the YAML.
        [[ $2 =~ ^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$ ]] || {
            echo "make-secret: error: not a name: $2" >&2
            exit 2
        }
        if [ "$1" = --name ]; then name=$2; else namespace=$2; fi
        shift 2
        ;;
    --raw) raw=yes && shift ;;
    *) usage ;;
    esac
done
[ ! -t 1 ] || {
    echo "make-secret: error: that would show the secret on the screen; pipe it to kubectl, or into a file" >&2
    exit 2
}

# 48 bytes, 64 characters: more than HS256's 256 bits, in text that survives any tool.
secret=$(head -c 48 /dev/urandom | base64 -w 0)
[ ${#secret} -eq 64 ]
if [ "$raw" = yes ]; then
    printf '%s\n' "$secret"
    exit 0
fi
printf '%s\n' 'apiVersion: v1' 'kind: Secret' 'type: Opaque' 'metadata:' "  name: $name" \
    "  namespace: $namespace" 'stringData:' "  jwt-secret: \"$secret\""
