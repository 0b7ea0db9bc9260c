cd context
touch -- 'with space' "quote's" 'double"quote' 'back\slash' '-dash' '[bracket]' 'star*' 'é' '日本' 'a:b' 'tilde~' '$HOME' '.hidden' '...'
touch "$(printf 'new\nline')" "$(printf 'tab\there')" "$(printf 'x%.0s' $(seq 1 250))"
mkdir -p "$(printf 'long%.0s' $(seq 1 40))/$(printf 'path%.0s' $(seq 1 40))"
touch "$(printf 'long%.0s' $(seq 1 40))/$(printf 'path%.0s' $(seq 1 40))/file"
