#!/bin/sh
# A web server on the given port, and a TCP service on 7000 that shouts back.
# SIGUSR1 writes a line, SIGTERM ends both with exit code 0.
set -u

httpd -f -p "$1" -h /app/www &
WEB=$!
nc -ll -p 7000 -e /app/upper.sh &
TCP=$!

trap 'echo "got SIGUSR1"' USR1
trap 'kill $WEB $TCP; exit 0' TERM INT

echo "$GREETING from port $1"
# `wait` returns at each signal it has a trap for.
while kill -0 $WEB 2>/dev/null; do
    wait $WEB
done
