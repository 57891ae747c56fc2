#!/bin/sh
# Does `cmake --preset demo` come up on a bare Debian with nothing but CMake and git? As root, with debootstrap installed:
#
#   tests/bare_debian.sh [--configure] [--out DIR] [--mirror URL] bookworm trixie
#
# makes a minimal system for each suite, with the packages cmake and git, copies the last commit into it, and runs the
# workflow `demo` there: set-up, build, training and report, a quarter of an hour on two cores. --configure stops when the
# set-up is done, after a minute or two. Prints a line for each suite; DIR (build-bare) keeps DIR/SUITE.log. Packages
# come from URL; a machine that is a Debian itself needs none, for its own mirror is taken.
set -eu
step="--workflow --preset demo"
out=build-bare
mirror=
while [ $# -gt 0 ]; do
  case $1 in
    --configure) step="--preset demo" && shift ;;
    --out) out=$2 && shift 2 ;;
    --mirror) mirror=$2 && shift 2 ;;
    -*) echo "bare_debian.sh: take one of --configure, --out, --mirror, got $1" >&2 && exit 2 ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || { echo "bare_debian.sh: name suites, as in: tests/bare_debian.sh bookworm trixie" >&2 && exit 2; }
if [ -z "$mirror" ]; then
  mirror=$(apt-get indextargets --format '$(COMPONENT) $(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    sed -n 's/^main Debian //p' | head -n 1)
fi
[ -n "$mirror" ] || { echo "bare_debian.sh: name a mirror of Debian: --mirror URL" >&2 && exit 2; }
command -v debootstrap >/dev/null || { echo "bare_debian.sh: install debootstrap" >&2 && exit 2; }
source=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)

failed=0
for suite; do
  root=$out/$suite log=$out/$suite.log
  rm -rf "$root"
  begin=$(date +%s)
  debootstrap --variant=minbase --include=cmake,git,ca-certificates "$suite" "$root" "$mirror" >"$log" 2>&1 ||
    { echo "$suite: debootstrap failed, see $log" && failed=1 && continue; }
  bare=$(chroot "$root" dpkg-query -W -f '.\n' | wc -l)
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
  echo "deb $mirror $suite main" >"$root/etc/apt/sources.list"
  # The machine's mirror is reached as the machine reaches it: through its proxy, or though its lists are old.
  apt-config dump 2>/dev/null | grep -E '^Acquire::(Check|https?|Retries)' >"$root/etc/apt/apt.conf.d/90machine" || true
  mkdir "$root/attn"
  git -C "$source" archive HEAD | tar x -C "$root/attn"
  mount -t proc proc "$root/proc" 2>>"$log" || true # some containers allow none; nothing here needs it
  made=$(date +%s)
  if chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root \
    sh -c "cd /attn && cmake $step" >>"$log" 2>&1; then
    answer="fine"
  else
    answer="FAILED, see $log" failed=1
    cat "$root"/attn/build/*.work/log "$root/attn/build/provision.log" >>"$log" 2>/dev/null || true
  fi
  umount "$root/proc" 2>/dev/null || true
  end=$(date +%s)
  version=$(cat "$root/etc/debian_version")
  compiler=$(chroot "$root" c++ -dumpfullversion 2>/dev/null || echo none)
  kokkos=$(sed -n 's/^-- attn [0-9.]*: Kokkos \([^ ]*\).*/\1/p' "$log" | head -n 1)
  echo "$suite: $answer; Debian $version, $bare packages before, g++ $compiler, Kokkos ${kokkos:-none};" \
    "$((made - begin)) s for the system, $((end - made)) s for cmake $step"
  rm -rf "$root"
done
exit $failed
