// What the machine can do at most, measured in the same run as what is compared with it.
#pragma once

#include "attn/core/pack.hpp"
#include "attn/core/random.hpp"
#include "attn/io/results.hpp"
#include "attn/linalg/gemm.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "commit.hpp"

namespace bench {

using Exec = Kokkos::DefaultExecutionSpace;
inline constexpr bool on_host = attn::HostExecutionSpace<Exec>;

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The shortest of all runs within a second and a half, so that a moment in which others use the machine is no peak.
template <class Work>
double best_seconds(Work const& work) {
  double best = 1e300;
  auto const begin = std::chrono::steady_clock::now();
  do {
    auto const start = std::chrono::steady_clock::now();
    work();
    best = std::min(best, seconds_since(start));
  } while (seconds_since(begin) < 1.5);
  return best;
}

/// fp32 FMA peak of the host, all threads of the default host space, in GFLOP/s: registers only.
inline double fma_peak() {
  using Host = Kokkos::DefaultHostExecutionSpace;
  using Pack = attn::Pack<float>;
  constexpr int chains = 12;  // enough to hide the latency of an FMA on two ports
  constexpr long rounds = 2'000'000;
  int const threads = Host().concurrency();
  std::vector<float> sink(static_cast<std::size_t>(threads));
  float* const out = sink.data();
  auto const work = [&] {
    Kokkos::parallel_for("bench::fma_peak", Kokkos::RangePolicy<Host>(0, threads, Kokkos::ChunkSize(1)), [=](int t) {
      Pack const factor(0.999f + 1e-6f * static_cast<float>(t)), term(1e-3f);
      Pack sums[chains];
      for (int c = 0; c < chains; ++c) sums[c] = Pack(static_cast<float>(c));
      for (long r = 0; r < rounds; ++r) {
        for (int c = 0; c < chains; ++c) sums[c] = sums[c] * factor + term;
      }
      Pack total(0.0f);
      for (Pack const& s : sums) total += s;
      out[t] = sum(total);
    });
    Host().fence();
    benchmark::DoNotOptimize(sink.data());
  };
  double const flops = 2.0 * chains * Pack::width * static_cast<double>(rounds) * threads;
  return flops / best_seconds(work) * 1e-9;
}

template <class T>
struct DrawNormal {
  T* to;
  std::uint64_t stream;
  ATTN_FUNCTION void operator()(attn::Index i) const {
    to[i] = T(attn::normal<float>({.seed = 1, .stream = stream}, std::uint64_t(i)));
  }
};

/// Standard normal numbers, made where the contiguous view lies.
template <class View>
void fill_at_random(Exec const& exec, View const& view, std::uint64_t stream) {
  using T = typename View::non_const_value_type;
  Kokkos::parallel_for("bench::fill_at_random",
                       Kokkos::RangePolicy<Exec, Kokkos::IndexType<attn::Index>>(exec, 0, attn::Index(view.size())),
                       DrawNormal<T>{view.data(), stream});
}

/// Rate of a square product of this library, which is oneDNN's or cuBLAS's where they are, in GFLOP/s: of factors and a
/// result of `T`, drawn at random, because constants let a GPU draw less power.
template <class T = float>
double gemm_peak() {
  Exec const exec;
  attn::Index const n = on_host ? 1024 : 8192;
  using Matrix = Kokkos::View<T**, Kokkos::LayoutRight, Exec>;
  auto const random = [&](std::uint64_t stream) {
    Matrix const matrix("matrix", n, n);
    fill_at_random(exec, matrix, stream);
    return matrix;
  };
  Matrix const a = random(1), b = random(2), c("c", n, n);
  auto const work = [&] {
    attn::linalg::gemm(exec, 1, attn::Tensor(a), attn::Tensor(b), 0, attn::Tensor(c));
    exec.fence();
  };
  return 2.0 * n * n * n / best_seconds(work) * 1e-9;
}

/// The lines that stand above every table of results: where and from what they came.
inline void describe_origin() {
  benchmark::AddCustomContext("machine", attn::io::describe_machine());
#if defined(KOKKOS_ENABLE_CUDA)
  benchmark::AddCustomContext("device", Kokkos::Cuda().cuda_device_prop().name);
#endif
  benchmark::AddCustomContext("commit", built_from_commit);
}
/// The same, and what the host, and the default space, can do at most.
inline void describe_run(double fma, double gemm) {
  describe_origin();
  benchmark::AddCustomContext("fma_peak_gflops", std::to_string(fma));
  benchmark::AddCustomContext("gemm_peak_gflops", std::to_string(gemm));
}

}  // namespace bench
