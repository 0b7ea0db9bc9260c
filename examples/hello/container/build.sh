#!/bin/sh
# Compiles the container's server to one static program, unless it is newer than its source.
# Runs as wrangler.jsonc's build.command, from the project's folder.
set -eu
cd "$(dirname "$0")/.."

if [ -x target/server ] && [ -z "$(find container -newer target/server)" ]; then
    exit 0
fi
mkdir -p target
rustc --edition 2021 -O -C target-feature=+crt-static -C strip=symbols \
    -o target/server.new container/main.rs
mv target/server.new target/server
