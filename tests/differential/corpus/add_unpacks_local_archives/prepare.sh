mkdir -p files/sub && cd files
echo one > one && echo two > sub/two && ln -s one link && ln one hard && chmod 4750 one && chmod 700 sub
touch -d @1000000000 one sub/two sub
pack() { tar --numeric-owner --owner=11 --group=12 "$@"; }
pack -cf ../context/plain.tar ./*
pack -czf ../context/gzip.tar.gz .
pack -cJf ../context/xz.tar.xz ./*
pack -cjf ../context/bzip2.tar.bz2 ./*
pack -czf ../context/named-otherwise ./*
echo 'not an archive' > ../context/text.tar.gz
