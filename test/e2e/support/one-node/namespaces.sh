#!/bin/bash
# Process 1 of a one-node cluster:  namespaces.sh DIRECTORY COMMAND...
#
# To be started by unshare with a network, mount and pid namespace of its own. It makes the network
# of the pods and what the kubelet insists on, then runs COMMAND and ends with it. When this process
# ends, the kernel ends every other in here, and mounts, network and iptables rules go with them.
set -euo pipefail

directory=$1
shift

mount --make-rprivate /
# Paths that containerd and kubelet write to, whatever they are told.
for path in /var/lib /var/log; do
  mkdir -p "$directory$path"
  mount --bind "$directory$path" "$path"
done
mount -t tmpfs -o mode=0755,size=64m tmpfs /run
mkdir /run/lock
# Cluster DNS for what runs in here, which is given in this file.
touch "$directory/resolv.conf"
mount --bind "$directory/resolv.conf" /etc/resolv.conf
# The kubelet wants mounts that it makes to be seen in containers, and these are its own alone.
mount --make-rshared /

# The kubelet sets these for the whole machine, unless they are so already: here it finds that they are.
mkdir -p "$directory/sysctl"
for pair in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file=$directory/sysctl/${pair//[\/=]/-}
  echo "${pair#*=}" >"$file"
  mount --bind "$file" "/proc/sys/${pair%=*}"
done

ip link set lo up
# A fixed address, so that pods need not learn a new one as ports come and go.
ip link add br0 address 02:00:0a:f4:00:01 type bridge
ip address add 10.244.0.1/24 dev br0
ip link set br0 up
# So that a connection to a Service finds a way out, before kube-proxy's rules change where to.
ip route add 10.96.0.0/16 dev br0 src 10.244.0.1
# Both are of this network namespace alone. The second: from pod to Service to pod, answers come back
# over the bridge and must pass the same rules.
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables

"$@" &
wait $!
