#!/bin/bash
# Waits until the other end of its standard input is closed, which the kernel does when the process
# that holds it is gone, however it ended. Then removes what outlives a cluster:
#
#   clear-away.sh DIRECTORY CONTROL-GROUP...
#
# A file DIRECTORY/keep keeps the directory, but for what is large.
trap '' INT TERM HUP
cat >/dev/null

directory=$1
shift
for group in "$@"; do
  # Innermost first; a group goes when the last process in it has.
  for _ in {1..100}; do
    [ -d "$group" ] || break
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
    sleep 0.1
  done
  [ ! -d "$group" ] || echo "control group $group is still in use" >&2
done
if [ -e "$directory/keep" ]; then
  rm -rf --one-file-system "$directory"/{containerd,images,var}
else
  rm -rf --one-file-system "$directory"
fi
