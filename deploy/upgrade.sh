#!/bin/sh
# Puts a new process in the place of the running gateway, without a connection lost:
#   deploy/upgrade.sh PID SETTINGS SOCKET [BINARY]
# PID is the running gateway, SETTINGS the file that the new one reads, SOCKET its `upgrade_socket`. Exits 0 when the new process serves,
# and 1 when it does not: the old one serves on then, and its log says why. The new process outlives this script.
set -u
old=$1 settings=$2 socket=$3 binary=${4:-cogward}

alive() { grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/status"; }

"$binary" serve --upgrade --config "$settings" &
new=$!
# It compiles the files before it waits.
until [ -S "$socket" ]; do
    alive "$new" || exit 1
    sleep 0.1
done
# The file goes when the new process serves, and when it gives up. A signal that comes too early changes nothing.
while [ -S "$socket" ] && alive "$new"; do
    kill -QUIT "$old" || exit 1
    sleep 1
done
alive "$new"
