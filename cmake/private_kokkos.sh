#!/bin/sh
# Unpacks Kokkos from Debian's unstable suite into a prefix of its own, on a Debian machine that has none.
#
#   private_kokkos.sh PREFIX
#
# apt runs on a state of its own with the machine's own sources, their suite replaced; nothing is installed and no root
# is needed. Where the library needs a newer C library than the machine has, that comes along and the exported CMake
# targets carry the link options that use it, so any project that finds this prefix links correctly.
set -eu
prefix=$1
work=$prefix.work

fail() {
  echo "$1" >&2
  exit 1
}
for tool in apt-get dpkg-deb dpkg-query awk; do
  command -v "$tool" >/dev/null || fail "$tool is missing, so Debian's packages are out of reach"
done
. /etc/os-release
[ "${ID:-}" = debian ] || fail "this is not Debian"

rm -rf "$work"
mkdir -p "$work/sources" "$work/lists/partial" "$work/archives/partial" "$work/debs" "$work/root"
: >"$work/status"

# The machine's main source, in either format, with the suite replaced. Security, backports and third parties have
# other suites or components and drop out.
suites=" ${VERSION_CODENAME:-} stable oldstable testing unstable sid "
for file in /etc/apt/sources.list.d/*.sources; do
  [ -e "$file" ] || continue
  awk -v suites="$suites" '
    function words_contain(line, list,   i, n, word) {
      n = split(line, word, /[ \t]+/)
      for (i = 1; i <= n; ++i) if (word[i] != "" && index(list, " " word[i] " ")) return 1
      return 0
    }
    function end_stanza() {
      if (is_binary && is_enabled && words_contain(suite, suites) && words_contain(components, " main "))
        printf "Types: deb\nSuites: unstable\nComponents: main\n%s\n", rest
      is_binary = 0; is_enabled = 1; suite = components = rest = field = ""
    }
    BEGIN { end_stanza() }
    /^#/ { next }
    /^[ \t]*$/ { end_stanza(); next }
    /^[^ \t]/ { field = tolower($0); sub(/:.*/, "", field); value = $0; sub(/^[^:]*:/, "", value) }
    /^[ \t]/ { value = $0 }
    field == "types" { if (words_contain(value, " deb ")) is_binary = 1; next }
    field == "suites" { suite = suite " " value; next }
    field == "components" { components = components " " value; next }
    field == "enabled" { if (value ~ /no|false|off|0/) is_enabled = 0; next }
    { rest = rest $0 "\n" }
    END { end_stanza() }' "$file"
done >"$work/sources/machine.sources"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
  [ -e "$file" ] || continue
  awk -v suites="$suites" '
    $1 != "deb" { next }
    {
      line = $0
      sub(/^[ \t]*deb[ \t]+/, "", line)
      options = ""
      if (line ~ /^\[/) { options = line; sub(/\].*/, "] ", options); sub(/^\[[^]]*\][ \t]*/, "", line) }
      sub(/#.*/, "", line)
      n = split(line, word, /[ \t]+/)
      if (word[1] ~ /^cdrom:/ || !index(suites, " " word[2] " ")) next
      for (i = 3; i <= n; ++i) if (word[i] == "main") { print "deb " options word[1] " unstable main"; next }
    }' "$file"
done >"$work/sources/machine.list"
[ -s "$work/sources/machine.sources" ] || [ -s "$work/sources/machine.list" ] || fail "apt has no source for Debian's main component"

cat >"$work/apt.conf" <<CONF
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$work/sources";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "$work/sources/none";
Dir::State::Lists "$work/lists";
Dir::State::Status "$work/status";
Dir::Cache "$work";
Dir::Cache::Archives "$work/archives";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
CONF
apt_get() {
  apt-get -c "$work/apt.conf" -qq "$@" >>"$work/log" 2>&1
}
download() {
  (cd "$work/debs" && apt_get download "$@") || fail "apt-get could not download $* (see $work/log)"
}

echo "   reading the package list"
apt_get update || true # one unreachable source does not matter if another has the packages
echo "   downloading"
download libkokkos-dev
library=$(dpkg-deb -f "$work"/debs/libkokkos-dev_*.deb Depends | grep -oE 'libkokkos[0-9.]+' | head -n 1)
download "$library"

# Does this machine satisfy what the library depends on? Lines "package version" of its "(>= version)" dependencies.
runtime=own
dpkg-deb -f "$work/debs/${library}"_*.deb Depends | tr ',' '\n' |
  sed -nE 's/^ *([a-z0-9.+-]+) \(>= ([^)]+)\).*/\1 \2/p' >"$work/depends"
while read -r package version; do
  installed=$(dpkg-query -W -f '${Version}\n' "$package" 2>/dev/null | head -n 1)
  dpkg --compare-versions "${installed:-0}" ge "$version" || runtime=private
done <"$work/depends"

for deb in "$work"/debs/*.deb; do
  dpkg-deb -x "$deb" "$work/root"
done
cmake_dir=$(dirname "$(find "$work/root/usr/lib" -name KokkosTargets.cmake)")
libdir=$(dirname "$(dirname "$cmake_dir")")

# The package lists two archives that it does not contain, and a fixed include path.
for archive in algorithms simd; do
  [ -e "$libdir/libkokkos$archive.a" ] || printf '!<arch>\n' >"$libdir/libkokkos$archive.a"
done
{
  cat <<'TARGETS'
# Read by KokkosTargets.cmake, which sets _IMPORT_PREFIX: this copy of Kokkos lives in a prefix of its own.
foreach(_attn_target kokkos kokkoscore kokkoscontainers kokkosalgorithms kokkossimd)
  if(TARGET Kokkos::${_attn_target})
    set_target_properties(Kokkos::${_attn_target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_IMPORT_PREFIX}/include/kokkos")
  endif()
endforeach()
unset(_attn_target)
TARGETS
  if [ "$runtime" = private ]; then
    rm "$work"/debs/*.deb
    download libc6 libstdc++6 libgcc-s1 libgomp1
    for deb in "$work"/debs/*.deb; do
      dpkg-deb -x "$deb" "$work/runtime"
    done
    # A folder of its own: beside libkokkoscore.so, CMake would warn of a libgomp that hides the compiler's.
    mkdir "$work/root/usr/lib/runtime"
    find "$work/runtime" -name '*.so*' -path "*/$(basename "$libdir")/*" ! -path '*/gconv/*' ! -name '*.py' \
      -exec mv {} "$work/root/usr/lib/runtime" \;
    loader=$(cd "$work/root/usr/lib/runtime" && ls -d ld-linux*.so.*)
    cat <<TARGETS
# The library needs a newer C library than this machine has: executables start through a loader of their own.
# DT_RPATH (not DT_RUNPATH) also serves the libraries that libraries load, so one OpenMP runtime serves them all.
set_property(TARGET Kokkos::kokkoscore APPEND PROPERTY INTERFACE_LINK_OPTIONS
  "LINKER:--allow-shlib-undefined" "LINKER:--disable-new-dtags"
  "LINKER:-rpath,\${_IMPORT_PREFIX}/lib/runtime" "LINKER:--dynamic-linker=\${_IMPORT_PREFIX}/lib/runtime/$loader")
TARGETS
  fi
} >"$cmake_dir/KokkosTargets-private.cmake"

rm -rf "$work/root/usr/share" "$prefix"
mv "$work/root" "$prefix"
rm -rf "$work"
