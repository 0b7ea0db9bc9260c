head -c 50000000 /dev/zero | tr '\0' 'x' > context/large
truncate -s 300000000 context/sparse
printf end >> context/sparse
