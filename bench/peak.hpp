// What the machine can do at most, measured in the same run as what is compared with it.
#pragma once

#include "attn/core/pack.hpp"
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

/// fp32 rate of a square product of this library, which is oneDNN's or cuBLAS's where they are, in GFLOP/s.
inline double gemm_peak() {
  Exec const exec;
  attn::Index const n = 1024;
  Kokkos::View<float**, Kokkos::LayoutRight, Exec> const a("a", n, n), b("b", n, n), c("c", n, n);
  Kokkos::deep_copy(a, 1.0f);
  Kokkos::deep_copy(b, 0.5f);
  auto const work = [&] {
    attn::linalg::gemm<Exec, float>(exec, 1, attn::Tensor<float const, 2, Exec::memory_space>(a),
                                    attn::Tensor<float const, 2, Exec::memory_space>(b), 0,
                                    attn::Tensor<float, 2, Exec::memory_space>(c));
    exec.fence();
  };
  return 2.0 * n * n * n / best_seconds(work) * 1e-9;
}

/// The lines that stand above every table of results.
inline void describe_run(double fma, double gemm) {
  benchmark::AddCustomContext("machine", attn::io::describe_machine());
  benchmark::AddCustomContext("commit", built_from_commit);
  benchmark::AddCustomContext("fma_peak_gflops", std::to_string(fma));
  benchmark::AddCustomContext("gemm_peak_gflops", std::to_string(gemm));
}

}  // namespace bench
