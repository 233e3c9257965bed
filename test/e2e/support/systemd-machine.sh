#!/bin/bash
# A machine of its own with a real systemd as process 1, for tests of our units:
#
#   systemd-machine.sh EMPTY-DIRECTORY FILE NODE
#
# To be started by unshare with namespaces of its own (mount, pid, cgroup, ipc, uts, net). The
# host's root file system is there, read-only; everything that systemd or a test may write to is
# memory: /etc, /run, /tmp, /var, … The unit directory holds targets alone, so that nothing of the
# host's is started. FILE is copied to /root, and NODE is the machine's node(1).
set -euo pipefail

root=$1 file=$2 node=$3
units=$(readlink -f /lib/systemd/system)
mount --make-rprivate /
mount --bind / "$root"
mount -o remount,bind,ro "$root"

memory() { mount -t tmpfs -o mode=0755 tmpfs "$root$1"; }
for directory in /etc /root /run /tmp /var /opt /mnt /dev /sys /usr/local/bin \
  "$units" "${units%/*}/system-generators"; do
  memory "$directory"
done
mount -t proc proc "$root/proc"
chmod 1777 "$root/tmp"
mkdir -p "$root"/var/{lib,log,cache,tmp} "$root"/run/lock "$root"/dev/{shm,pts} "$root"/mnt/host "$root"/etc/systemd/system
ln -s /run "$root/var/run"

for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s pts/ptmx "$root/dev/ptmx"

if [ -d /sys/fs/cgroup/systemd ]; then
  mkdir -p "$root/sys/fs/cgroup"
  mount -t tmpfs -o mode=0755 tmpfs "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/systemd"
  mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
else
  mkdir -p "$root/sys/fs/cgroup"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
fi

for name in ld.so.cache ld.so.conf nsswitch.conf os-release localtime login.defs; do
  [ ! -e "/etc/$name" ] || cp -L "/etc/$name" "$root/etc/$name"
done
for directory in alternatives pam.d security; do
  [ ! -d "/etc/$directory" ] || cp -a "/etc/$directory" "$root/etc/$directory"
done
grep -E '^(root|nobody|daemon):' /etc/passwd >"$root/etc/passwd"
grep -E '^(root|nogroup|nobody|daemon|adm|systemd-journal):' /etc/group >"$root/etc/group"
tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
echo latchkey-test >"$root/etc/hostname"

for target in basic multi-user sysinit sockets timers paths slices shutdown umount final local-fs \
  local-fs-pre swap network reboot poweroff exit rescue emergency; do
  [ ! -e "$units/$target.target" ] || cp -L "$units/$target.target" "$root$units/"
done
touch "$root/usr/local/bin/node"
mount --bind "$node" "$root/usr/local/bin/node"
cp "$file" "$root/root/"
ip link set lo up

cd "$root"
pivot_root . mnt/host
cd /
umount -l /mnt/host
# Better no test than one that changes the machine it runs on.
for path in /probe /usr/probe /lib/probe /bin/probe /home/probe; do
  if (: >"$path") 2>/dev/null; then
    echo "$path can be written: the host would be changed" >&2
    exit 1
  fi
done
# As on a real machine, and among this machine's own namespaces alone: systemd hands out credentials so.
mount --make-rshared /
exec env -i container=latchkey-test LANG=C.UTF-8 \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=multi-user.target --show-status=no --log-target=null
