// Matrix products of the shapes that transformers have: attn::linalg::gemm, oneDNN's own sgemm, the FMA peak.
//
//   gemm [--peer=PYTHON [--rounds=7] [--turn=0.3]] [Google Benchmark's flags]
//
// A case "gemm/M/K/N" is (M, K) times (K, N); "gemm_tn" has its first operand transposed in memory, as the gradient of
// a weight has. Counters: GFLOP/s, and the fraction of the FMA peak that was measured in the same run.
#include "peak.hpp"
#include "peers.hpp"

#if defined(ATTN_HAVE_ONEDNN)
#include <dnnl.h>
#endif

namespace {

using attn::Index;
using bench::Exec;
using Matrix = Kokkos::View<float**, Kokkos::LayoutRight, Exec>;
using Memory = Exec::memory_space;

double peak = 0;
bench::Peers* peers = nullptr;

struct Shape {
  Index m, k, n;
  std::string name() const { return "/" + std::to_string(m) + "/" + std::to_string(k) + "/" + std::to_string(n); }
};

/// Square and small ones; then the linear layers of three ViTs, (rows, inputs, outputs).
std::vector<Shape> const shapes = {
    {1024, 1024, 1024}, {4096, 192, 768}, {197, 64, 197},    {64, 64, 64},
    {6400, 64, 192},    {6400, 64, 64},   {6400, 64, 256},   {6400, 256, 64},    // the demo's, 128 images
    {6304, 192, 576},   {6304, 192, 192}, {6304, 192, 768},  {6304, 768, 192},   // ViT-Ti/16, 32 images
    {1576, 768, 2304},  {1576, 768, 768}, {1576, 768, 3072}, {1576, 3072, 768},  // ViT-B/16, 8 images
};
/// Gradients of weights: (outputs, rows, inputs).
std::vector<Shape> const gradient_shapes = {
    {192, 6400, 64}, {256, 6400, 64}, {64, 6400, 256}, {576, 6304, 192}, {2304, 1576, 768}};

void count(benchmark::State& state, Shape const& s) {
  double const flops = 2.0 * double(s.m) * double(s.k) * double(s.n) * double(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsRate);
  state.counters["of_peak"] = benchmark::Counter(flops * 1e-9 / peak, benchmark::Counter::kIsRate);
}

Matrix filled(Index rows, Index columns) {
  Matrix const matrix("matrix", rows, columns);
  Kokkos::deep_copy(matrix, 0.5f);
  return matrix;
}

void library(benchmark::State& state, Shape s, bool transposed) {
  Exec const exec;
  Matrix const a = transposed ? filled(s.k, s.m) : filled(s.m, s.k), b = filled(s.k, s.n), c = filled(s.m, s.n);
  attn::Tensor<float const, 2, Memory> const left(a);
  auto const call = [&] {
    attn::linalg::gemm(exec, 1, transposed ? left.transpose(0, 1) : left, attn::Tensor(b), 0, attn::Tensor(c));
    exec.fence();
  };
  for (auto _ : state) call();
  count(state, s);
  if (!transposed) peers->compare("gemm" + s.name(), bench::by_clock(call));
}

#if defined(ATTN_HAVE_ONEDNN)
void onednn(benchmark::State& state, Shape s, bool transposed) {
  using Host = Kokkos::View<float**, Kokkos::LayoutRight, Kokkos::HostSpace>;
  Host const a("a", s.m, s.k), b("b", s.k, s.n), c("c", s.m, s.n);
  Kokkos::deep_copy(a, 0.5f);
  Kokkos::deep_copy(b, 0.5f);
  for (auto _ : state) {
    dnnl_sgemm(transposed ? 'T' : 'N', 'N', s.m, s.n, s.k, 1.0f, a.data(), transposed ? s.m : s.k, b.data(), s.n, 0.0f,
               c.data(), s.n);
    benchmark::ClobberMemory();
  }
  count(state, s);
}
#endif

void add(std::string const& name, void (*run)(benchmark::State&, Shape, bool), Shape s, bool transposed) {
  benchmark::RegisterBenchmark((name + s.name()).c_str(), [=](benchmark::State& state) { run(state, s, transposed); })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Peers with(argc, argv, "gemm.py");
  Kokkos::ScopeGuard const kokkos(argc, argv);
  with.use({"--threads", std::to_string(Exec().concurrency())});
  peers = &with;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  peak = bench::fma_peak();
  bench::describe_run(peak, bench::gemm_peak());
  for (bool const transposed : {false, true}) {
    for (Shape const& s : transposed ? gradient_shapes : shapes) {
      std::string const suffix = transposed ? "_tn" : "";
      add("gemm" + suffix, library, s, transposed);
#if defined(ATTN_HAVE_ONEDNN)
      add("dnnl_sgemm" + suffix, onednn, s, transposed);
#endif
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  peers->print();
  return 0;
}
