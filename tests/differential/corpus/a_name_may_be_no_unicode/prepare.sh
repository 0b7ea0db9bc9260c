touch "context/$(printf 'latin-\351')"
