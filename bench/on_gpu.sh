#!/usr/bin/env bash
# What an hour on a GPU is for, a command for each stage: is it right, is it fast, where does the time go?
#
#   bench/on_gpu.sh pack [--build DIR] ARCHIVE.tar.xz      where it was built: executables and libraries, to carry
#   bench/on_gpu.sh STAGE... [--build DIR] [--out DIR] [--peer PYTHON] [--minutes N]
#
#   environment   the GPU, its driver, the toolkit, PyTorch
#   tests         every test that was built, those of tests/cuda first
#   sanitizers    compute-sanitizer's four tools on a small call of each kernel
#   attention     forward and backward, beside PyTorch if there is a PYTHON
#   training      steps of ViT-Ti/16 and ViT-B/16, an evaluation of a PINNsFormer, likewise
#   profile       three kernels by Nsight Compute
#   table         DIR/table.md of what the stages before have left
#   all           all of these
#
# Each stage takes N minutes (10) at most, and leaves DIR/STAGE.log and DIR/STAGE.json (DIR is gpu-results). A stage that
# fails says so in its JSON, one that is stopped leaves what it had until then (DIR/STAGE.1.json and so on of those that
# are made in parts, the most important first), and the next begins. Nothing is downloaded, nothing installed.
# docs/gpu.md says how to build.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$here/build-cuda out=gpu-results python="" minutes=10 stages=()

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
stop() { echo "on_gpu.sh: $*" >&2; exit 2; }

while [ $# -gt 0 ]; do
  case $1 in
    --build | --out | --peer | --minutes)
      [ $# -ge 2 ] || stop "$1 wants a value"
      case $1 in --build) build=$2 ;; --out) out=$2 ;; --peer) python=$2 ;; --minutes) minutes=$2 ;; esac
      shift ;;
    -h | --help) usage; exit 0 ;;
    -*) stop "there is no flag '$1'; --help names those that exist" ;;
    *) stages+=("$1") ;;
  esac
  shift
done
[ ${#stages[@]} -gt 0 ] || { usage; exit 2; }
[ "${stages[0]}" = all ] && stages=(environment tests sanitizers attention training profile table)
[[ $minutes =~ ^[1-9][0-9]*$ ]] || stop "--minutes wants a positive whole number, not '$minutes'"

text() { printf '"%s"' "$(tr -d '\000-\037' <<< "$1" | sed 's/\\/\\\\/g; s/"/\\"/g')"; }
first_line() { "$@" 2>&1 | head -n 1; }
# What a test asks of PyTorch's script, or nothing.
peer() {
  [ -z "$python" ] || printf -- '--peer=%s --compared=%s' "$python" "$out/$1.compared.json"
  [ ! -d "$build/bench/peers" ] || printf -- ' --scripts=%s' "$build/bench/peers"
}
library_path() { [ ! -d "$build/lib" ] || export LD_LIBRARY_PATH=$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; }

environment() {
  local query=name,driver_version,compute_cap,memory.total,clocks.max.sm,clocks.max.memory,power.limit
  nvidia-smi
  printf '{"gpu": %s, "toolkit": %s, "host": %s, "pytorch": %s}\n' \
    "$(text "$(first_line nvidia-smi --query-gpu=$query --format=csv,noheader)")" \
    "$(text "$(nvcc --version 2>&1 | grep -m 1 release || echo none)")" \
    "$(text "$(grep -m 1 'model name' /proc/cpuinfo | cut -d: -f2), $(nproc) processors")" \
    "$(text "$(first_line "${python:-false}" -c 'import torch; print(torch.__version__)')")" \
    > "$out/environment.json"
}

tests() {
  local program failed=() passed=0
  # say_so ["running": PROGRAM]: after each program, for the next may be the last.
  say_so() {
    printf '{"passed": %d, "failed": [%s]%s}\n' "$passed" \
      "$(printf '%s\n' ${failed[@]+"${failed[@]}"} | sed '/^$/d; s/.*/"&"/' | paste -sd,)" "${1:+, \"running\": \"$1\"}" > "$out/tests.json"
  }
  while read -r program; do
    echo "== $program"
    say_so "${program#"$build"/}"
    if timeout $((minutes * 30)) "$program" --gtest_brief=1; then passed=$((passed + 1)); else failed+=("${program#"$build"/}"); fi
  done < <(find "$build/tests" -type f -perm -u+x -name 'test_*' | sed -E 's|.*/cuda/test_|0 &|; t; s|^|1 |' | sort | cut -c3-)
  say_so
  [ $passed -gt 0 ] && [ ${#failed[@]} -eq 0 ]
}

sanitizers() {
  local tool status lines=() all=0
  for tool in memcheck racecheck initcheck synccheck; do
    echo "== $tool"
    timeout $((minutes * 15)) compute-sanitizer --tool $tool --error-exitcode 1 "$build/tests/cuda/test_cuda_each_kernel" \
      --gtest_brief=1
    status=$?
    [ $status -eq 0 ] || all=1
    lines+=("\"$tool\": $status")
    (IFS=,; echo "{${lines[*]}}") > "$out/sanitizers.json"
  done
  return $all
}

# benchmark NAME PROGRAM FLAG...: NAME.json, and the log. No quotes around peer: it is flags, or nothing.
benchmark() {
  local name=$1 program=$build/bench/$2
  shift 2
  [ -x "$program" ] || { echo "there is no $program: build the target benchmarks"; return 1; }
  # shellcheck disable=SC2046
  "$program" --benchmark_out="$out/$name.json" --benchmark_out_format=json $(peer "$name") "$@"
}
# in_parts STAGE PROGRAM FILTER...: a run for each filter, whose JSON is whole whatever happens to the next.
in_parts() {
  local stage=$1 program=$2 part=0 filter all=0
  shift 2
  for filter; do
    part=$((part + 1))
    benchmark "$stage.$part" "$program" --rounds=5 --turn=0.1 --benchmark_filter="$filter" || all=1
  done
  echo "{\"parts\": $part}" > "$out/$stage.json"
  return $all
}
attention() {
  local both='attention_cuda/(poly3|softmax)/bf16/(forward|backward)'
  in_parts attention attention_cuda "$both/[0-9]+/[0-9]{4,}/64/" "$both/[0-9]+/[0-9]{4,}/128/" "$both/[0-9]+/[0-9]{2,3}/" \
    'backward_in_' '/(fp16|fp32|tf32)/|_causal'
}
training() {
  in_parts training train_step /bf16 -/bf16
  local status=$?
  benchmark training_pde pde_step --rounds=5 && return $status
}

profile() {
  local case files=() all=0
  for case in poly3/bf16/forward/64/4096/64 softmax/bf16/forward/64/4096/64 poly3/bf16/backward/64/4096/64; do
    local file=$out/profile.${case//\//_}
    ncu --set full --launch-skip 3 --launch-count 2 --kernel-name 'regex:run_(hopper_)?kernel' --force-overwrite \
      --export "$file" "$build/bench/attention_cuda" --benchmark_filter="attention_cuda/$case/" --benchmark_min_time=0.01 \
      && ncu --import "$file.ncu-rep" --page details > "$file.txt" || all=1
    files+=("\"$(basename "$file").txt\"")
  done
  (IFS=,; echo "{\"kernels\": [${files[*]}]}") > "$out/profile.json"
  return $all
}

table() { "$build/bench/gpu_table" "$out" | tee "$out/table.md"; }

pack() {
  local archive=$1 program library
  [ -d "$build/bench" ] || stop "there is no build in $build"
  for program in bench/{attention_cuda,train_step,pde_step,gpu_table} tests/cuda/test_cuda_{device,each_kernel,differential}; do
    [ -x "$build/$program" ] || stop "there is no $build/$program: build the target on_gpu"
  done
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/attn/lib" "$work/attn/bench" "$work/attn/tests/golden"
  while read -r program; do
    mkdir -p "$work/attn/$(dirname "${program#"$build"/}")"
    strip -o "$work/attn/${program#"$build"/}" "$program"
    # What the other machine has: its C and C++ libraries, the driver, and the toolkit.
    while read -r library; do cp -Lu "$library" "$work/attn/lib/"; done < <(ldd "$program" | awk '$3 ~ /^\// {print $3}' |
      grep -Ev '/(libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|libcuda|libcudart|libcublas|libcublasLt)\.so')
  done < <(find "$build/bench" "$build/tests/cuda" -type f -perm -u+x \( -path "$build/bench/*" -o -name 'test_*' \) ! -name '*.so*' |
    grep -E '/(attention_cuda|train_step|pde_step|gpu_table|test_[a-z_]*)$')
  cp "${BASH_SOURCE[0]}" "$work/attn/on_gpu.sh"
  cp -r "$here/bench/peers" "$work/attn/bench/"
  cp "$here/tests/golden/golden.py" "$here/tests/golden/make_pinnsformer.py" "$work/attn/tests/golden/"
  tar -C "$work" -cJf "$archive" attn
  echo "$archive: $(($(stat -c %s "$archive") / 1000000)) MB; there: tar xf, then attn/on_gpu.sh all --build attn"
}

if [ "${stages[0]}" = pack ]; then
  [ ${#stages[@]} -eq 2 ] || stop "pack wants the name of an archive"
  pack "${stages[1]}"
  exit
fi
for stage in "${stages[@]}"; do
  case $stage in environment | tests | sanitizers | attention | training | profile | table) ;; *) stop "there is no stage '$stage'; --help names those that exist" ;; esac
done
[ -d "$build" ] || stop "there is no build in $build: --build DIR"
mkdir -p "$out" || exit 1
library_path
export -f environment tests sanitizers benchmark in_parts attention training profile table peer text first_line
export build out python minutes
status=0
for stage in "${stages[@]}"; do
  begin=$(date +%s)
  timeout $((minutes * 60)) bash -uo pipefail -c "$stage" > "$out/$stage.log" 2>&1
  ended=$?
  [ $ended -eq 0 ] || status=1
  [ -s "$out/$stage.json" ] || printf '{"failed": %d}\n' $ended > "$out/$stage.json"
  case $ended in 0) how="done" ;; 124) how="stopped after $minutes minutes" ;; *) how="failed ($ended)" ;; esac
  echo "$stage: $how, $(($(date +%s) - begin)) s; $out/$stage.log"
done
exit $status
