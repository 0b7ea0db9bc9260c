#!/bin/sh
# Compiles the containers' server to one static program, unless it is newer than its source.
set -eu
cd "$(dirname "$0")"

if [ build/server -nt server/main.rs ]; then
    exit 0
fi
mkdir -p build
rustc --edition 2024 -O -C target-feature=+crt-static -C strip=symbols \
    -o build/server.new server/main.rs
mv build/server.new build/server
