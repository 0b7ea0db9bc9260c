chmod 755 context/files/sub/two
git init --quiet --initial-branch=main work
cp -a context/files/. work/
cd work
git add --all
git -c user.name=somebody -c user.email=somebody@example.com commit --quiet --message=first
git tag v1
echo later > one
git -c user.name=somebody -c user.email=somebody@example.com commit --quiet --all --message=second
cd ..
mkdir served
git clone --quiet --bare work served/repository.git
git -C served/repository.git update-server-info
