npm pack --silent npm@10.9.2
mv npm-10.9.2.tgz context/npm.tgz
