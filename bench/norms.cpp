// What norms and statistics of rows cost beside the plain forward pass of attention.
//
//   norms [Google Benchmark's flags]
//
// Cases are named norms/<activation>/<what>/<batch times heads>/<tokens>/<head width>: the forward pass alone (plain),
// with both norms (norms), with all statistics of rows but entropy (rows), with entropy (all), and the same from
// queries and keys alone, without an output (alone). All that are to be compared run in turn within each round, so that
// other work on the machine meets all of them. best_ms is the best of all rounds, over_plain what is added to `plain`;
// cpu_ms and cpu_over_plain are the same by the processor time of all threads, which a busy machine disturbs less.
#include "attn/attention/norms.hpp"

#include "attn/activation/activation.hpp"
#include "attn/core/random.hpp"

#include <array>
#include <ctime>
#include <map>

#include "peak.hpp"

namespace {

using attn::Index;
using bench::Exec;
using Memory = Exec::memory_space;

struct Shape {
  Index heads, tokens, width;
};

Kokkos::View<float****, Kokkos::LayoutRight, Exec> random_tensor(Shape const& s, std::uint64_t stream) {
  Kokkos::View<float****, Kokkos::LayoutRight, Exec> const x("x", 1, s.heads, s.tokens, s.width);
  auto const host = Kokkos::create_mirror_view(x);
  for (std::size_t i = 0; i < host.size(); ++i) {
    host.data()[i] = attn::normal<float>({.seed = 1, .stream = stream}, i);
  }
  Kokkos::deep_copy(x, host);
  return x;
}

char const* const kinds[] = {"plain", "norms", "rows", "all", "alone"};

double processor_seconds() {
  std::timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

/// Seconds of the best call of each kind, over `rounds` rounds: by the clock, and of processors.
struct Best {
  std::array<double, 5> wall, processor;
};
template <class A>
Best best_of_rounds(A const& a, Shape const& s, int rounds) {
  Exec const exec;
  auto const q = random_tensor(s, 1), k = random_tensor(s, 2), v = random_tensor(s, 3), out = random_tensor(s, 4);
  attn::Saved<A, float, Memory> const saved(1, s.heads, s.tokens);
  Kokkos::View<float*, Memory> const memory("norms", static_cast<std::size_t>(s.heads * (2 + 6 * s.tokens)));
  auto const heads = [&](Index i) { return attn::Tensor<float, 2, Memory>(memory.data() + i * s.heads, {1, s.heads}); };
  auto const rows = [&](Index i) {
    return attn::Tensor<float, 3, Memory>(memory.data() + 2 * s.heads + i * s.heads * s.tokens, {1, s.heads, s.tokens});
  };
  using Norms = attn::AttentionNorms<float, Memory>;
  using Statistics = attn::AttentionStatistics<float, Memory>;
  Norms const norms{heads(0), heads(1)};
  Statistics all{heads(0), heads(1), rows(0), rows(1), rows(2), rows(3), rows(4), rows(5)}, cheap = all;
  cheap.entropy = {};
  auto const attend = [&]<class N>(N const& wanted) {
    attn::attention(exec, a, q, k, v, out, saved, attn::AttentionOptions<attn::Full, N>{.norms = wanted});
  };
  Best best;
  best.wall.fill(1e300);
  best.processor.fill(1e300);
  for (int round = 0; round < rounds; ++round) {
    for (int kind = 0; kind < 5; ++kind) {
      double const before = processor_seconds();
      auto const start = std::chrono::steady_clock::now();
      if (kind == 0) attend(attn::NoNorms{});
      if (kind == 1) attend(norms);
      if (kind == 2) attend(cheap);
      if (kind == 3) attend(all);
      if (kind == 4) attn::attention_norms(exec, a, q, k, all);
      exec.fence();
      auto const at = std::size_t(kind);
      best.wall[at] = std::min(best.wall[at], bench::seconds_since(start));
      best.processor[at] = std::min(best.processor[at], processor_seconds() - before);
    }
  }
  return best;
}

template <class A>
void add(std::string const& activation, A const& a, Shape const& s) {
  static std::map<std::string, Best> measured;
  std::string const sizes =
      "/" + std::to_string(s.heads) + "/" + std::to_string(s.tokens) + "/" + std::to_string(s.width);
  for (std::size_t kind = 0; kind < 5; ++kind) {
    std::string const name = "norms/" + activation + "/" + kinds[kind] + sizes;
    benchmark::RegisterBenchmark(name.c_str(),
                                 [=](benchmark::State& state) {
                                   if (!measured.count(activation + sizes))
                                     measured[activation + sizes] = best_of_rounds(a, s, 20);
                                   Best const& best = measured[activation + sizes];
                                   for (auto _ : state) state.SetIterationTime(best.wall[kind]);
                                   state.counters["best_ms"] = best.wall[kind] * 1e3;
                                   state.counters["over_plain"] = best.wall[kind] / best.wall[0] - 1;
                                   state.counters["cpu_ms"] = best.processor[kind] * 1e3;
                                   state.counters["cpu_over_plain"] = best.processor[kind] / best.processor[0] - 1;
                                 })
        ->UseManualTime()
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const guard(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  bench::describe_run(bench::fma_peak(), bench::gemm_peak());
  for (Shape const& s : {Shape{16, 1024, 64}, Shape{96, 197, 64}}) {
    add("softmax", attn::Softmax{}, s);
    add("poly3", attn::Poly<3, attn::FixedScale>{}, s);
    add("taylor", attn::TaylorSoftmax{}, s);
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
