for folder in $(seq 1 50); do
  mkdir "context/$folder"
  (cd "context/$folder" && seq 1 100 | xargs touch && echo "$folder" > 1)
done
