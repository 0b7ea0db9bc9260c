chmod 644 context/docker-entrypoint.sh
