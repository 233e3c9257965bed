#!/bin/sh
# What systemd does for a service with a socket unit and Restart=always: the listening socket,
# descriptor 3, stays open here while one process after the other serves it. A client that comes
# between two of them waits in the socket's queue.
#
#   systemd-socket-activate --listen=PATH hold-socket.sh HOLD PROGRAM [ARGUMENT...]
#
# Prints the process id of each program that it starts. While the file HOLD exists none is started.
hold=$1
shift
while :; do
  while [ -e "$hold" ]; do sleep 0.05; done
  # LISTEN_PID must name the process that serves, which is the one this shell turns into.
  sh -c 'LISTEN_PID=$$ exec "$@"' sh "$@" &
  echo $!
  wait $!
done
