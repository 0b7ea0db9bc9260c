#!/bin/busybox sh
# PID 1 of the guest: a root on memory, an ext4 file system for what the tests write (as machines have
# it), an XFS with project quotas, cgroup v2 alone, then the tests. The last line says how they ended.
/bin/busybox mkdir -p /proc /root.new
/bin/busybox mount -t proc proc /proc
if [ ! -e /moved ]; then
  # Memory of the kernel's first root cannot be pivoted away from; a tmpfs can.
  /bin/busybox mount -t tmpfs -o mode=755,size=3g root /root.new
  for name in bin lib lib64 modules tests probe init; do
    /bin/busybox cp -a "/$name" /root.new/
  done
  /bin/busybox mkdir -p /root.new/proc /root.new/sys /root.new/dev /root.new/tmp /root.new/etc
  : > /root.new/moved
  /bin/busybox umount /proc
  exec /bin/busybox switch_root /root.new /init
fi
/bin/busybox --install -s /bin
export PATH=/bin
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
while read -r module; do insmod "/modules/$module" || echo "cannot load $module"; done < /modules/order
truncate -s 2G /disk
mkfs.ext4 -q -F /disk
mount -o loop /disk /tmp
truncate -s 512M /xfs
mkdir /quotas
mkfs.xfs -q /xfs
mount -t xfs -o loop,pquota /xfs /quotas
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
echo "$(uname -r), cgroup v2 with: $(cat /sys/fs/cgroup/cgroup.controllers)"
export BERTH_TEST_PROBE=/probe BERTH_TEST_DISK_ON_MEMORY=1 BERTH_TEST_QUOTAS=/quotas TMPDIR=/tmp
/tests --test-threads=1
echo "guest: the tests ended with $?"
poweroff -f
