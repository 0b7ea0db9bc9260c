#!/bin/sh
# Writes an image into folder $1, in the form that containers/image calls `dir:`: a layer with the
# program $2, which it runs, above $3 layers of $4 MiB that no compression makes smaller.
set -eu
mkdir -p "$1"
cp "$2" "$1/server"
cd "$1"
printf 'Directory Transport Version: 1.1\n' > version

digest() { sha256sum "$1" | cut -d ' ' -f 1; }
describe() { printf '{"mediaType":"%s","size":%s,"digest":"sha256:%s"}' "$1" "$(stat -c %s "$2")" "$2"; }

layers= ids=
# Packs a file as the next layer.
layer() {
    tar --create --owner=0 --group=0 --file=layer.tar "$1"
    rm "$1"
    id=$(digest layer.tar)
    gzip --fast --no-name layer.tar
    blob=$(digest layer.tar.gz)
    mv layer.tar.gz "$blob"
    ids=$ids${ids:+,}\"sha256:$id\"
    layers=$layers${layers:+,}$(describe application/vnd.oci.image.layer.v1.tar+gzip "$blob")
}

for number in $(seq "$3"); do
    head -c "$(($4 * 1048576))" /dev/urandom > "data-$number"
    layer "data-$number"
done
layer server

printf '{"architecture":"%s","os":"linux","config":{"Cmd":["/server"],"ExposedPorts":{"8080/tcp":{}}},"rootfs":{"type":"layers","diff_ids":[%s]}}' \
    "$(dpkg --print-architecture)" "$ids" > config
config=$(digest config)
mv config "$config"
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' \
    "$(describe application/vnd.oci.image.config.v1+json "$config")" "$layers" > manifest.json
