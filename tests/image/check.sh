#!/usr/bin/env bash
# Whether an image serves both of its users, with what Argo CD would let it do: check.sh IMAGE
set -euo pipefail
image=$1
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

start() {
    docker run --rm --interactive --network=none --read-only --tmpfs=/tmp --cap-drop=ALL --security-opt=no-new-privileges "$@"
}

fail() {
    echo "$image: $1" >&2
    exit 1
}

echo 'A function gets a ResourceList and gives one back.'
start "$image" <"$root/tests/image/resourcelist.yaml" | grep -F 'name: EMQX_CLUSTER__DISCOVERY_STRATEGY' >/dev/null || fail 'expected the objects with what makes them a cluster'

echo 'What would not cluster is refused.'
if sed 's/addressType: ip/addressType: none/' "$root/tests/image/resourcelist.yaml" | start "$image" >/dev/null; then fail 'expected a refusal'; fi

echo 'The sidecar has the commands of its plugin.yaml.'
start --volume "$root:/repository:ro" --workdir /repository/overlays/persistent --entrypoint sh "$image" -euc 'emqx-gitops validate . >&2; exec emqx-gitops render .' |
    grep -F 'kind: StatefulSet' >/dev/null || fail 'expected a rendering'

echo 'A plain kustomize finds the plugin.'
start --volume "$root:/repository:ro" --workdir /repository --entrypoint kustomize "$image" build --enable-alpha-plugins overlays/persistent |
    grep -F 'kind: StatefulSet' >/dev/null || fail 'expected a rendering'
