// Attention on a GPU, forward and backward, beside cuBLAS and PyTorch.
//
//   attention_cuda [--peer=PYTHON [--rounds=7] [--turn=0.3]] [Google Benchmark's flags]
//
// Cases are named attention_cuda/<activation>/<format>/<pass>/<batch times heads>/<tokens>/<head width>; times are
// those of CUDA's events around twenty calls, a twentieth each, caches warm: around one call on an idle stream they
// would count what the host does before the launch. Operations are counted as 4 B N^2 d forward and 10 B N^2 d
// backward, times the share of the scores that the mask shows, for any activation, although the deterministic backward
// pass makes seven products of which other libraries count five. Counters belong to the shortest repetition: TFLOP/s,
// and its fraction of a large product of bf16 by cuBLAS that was measured in the same run. The label says which kernel
// ran. Where Hopper's kernels serve, gradients are made by one launch or two (hopper/backward_launches.hpp): the pass
// `backward` leaves that to the model, `backward_in_one` and `backward_in_two` do not.
#include "attn/activation/activation.hpp"
#include "attn/attention/attention.hpp"
#include "attn/attention/describe.hpp"

#include <algorithm>

#include "peak.hpp"
#include "peers.hpp"

namespace {

using attn::Index;
using bench::Exec;
using Memory = Exec::memory_space;
using Bf16 = Kokkos::Experimental::bhalf_t;
using Fp16 = Kokkos::Experimental::half_t;
template <class X>
using View = Kokkos::View<X****, Kokkos::LayoutRight, Exec>;

/// Seconds of what `work` puts on the instance's stream, the mean of `calls` in a row.
class Clock {
 public:
  static constexpr int calls = 20;

  explicit Clock(Exec const& exec) : stream_(exec.cuda_stream()) {
    cudaEventCreate(&begin_);
    cudaEventCreate(&end_);
  }
  ~Clock() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Clock(Clock const&) = delete;
  Clock& operator=(Clock const&) = delete;

  template <class Work>
  double seconds(Work const& work) const {
    cudaEventRecord(begin_, stream_);
    for (int call = 0; call < calls; ++call) work();
    cudaEventRecord(end_, stream_);
    cudaEventSynchronize(end_);
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, begin_, end_);
    return milliseconds * 1e-3 / calls;
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

struct Shape {
  Index heads, tokens, width;
};

/// 16 Ki tokens with 16 heads of 64 or 8 of 128, cut into sequences; then short sequences of vision transformers.
std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (Index const width : {64, 128}) {
    for (Index tokens = 1024; tokens <= 16384; tokens *= 2)
      all.push_back({16384 / tokens * (1024 / width), tokens, width});
  }
  for (Index const width : {32, 64}) {
    for (Index const tokens : {49, 197, 256}) all.push_back({262144 / tokens, tokens, width});
  }
  return all;
}

/// Random numbers made on the device.
template <class X>
View<X> random_tensor(Shape const& s, std::uint64_t stream) {
  View<X> const x(Kokkos::view_alloc(Kokkos::WithoutInitializing, "x"), 1, s.heads, s.tokens, s.width);
  bench::fill_at_random(Exec(), x, stream);
  return x;
}

bench::Peers* peers = nullptr;
double gemm_rate = 0;  // bf16 with sums in fp32, TFLOP/s

/// Which share of N x N scores a mask shows.
double visible(attn::Full const&, Index) { return 1; }
double visible(attn::Causal const&, Index tokens) { return (double(tokens) + 1) / (2 * double(tokens)); }

/// `products` of N x N x d.
template <class Call>
void measure(benchmark::State& state, std::string const& name, Shape const& s, double products, Call const& call) {
  Exec const exec;
  Clock const clock(exec);
  double best = 1e300;
  for (auto _ : state) {
    double const seconds = clock.seconds(call);
    state.SetIterationTime(seconds);
    best = std::min(best, seconds);
  }
  double const rate =
      2 * products * double(s.heads) * double(s.tokens) * double(s.tokens) * double(s.width) / best * 1e-12;
  state.counters["best_ms"] = best * 1e3;
  state.counters["TFLOP/s"] = rate;
  state.counters["of_gemm"] = rate / gemm_rate;
  peers->compare(name, [&] { return clock.seconds(call); });
}

template <class X, class A, class Options>
void forward(benchmark::State& state, std::string const& name, A const& a, Options const& options, Shape const& s) {
  Exec const exec;
  auto const q = random_tensor<X>(s, 1), k = random_tensor<X>(s, 2), v = random_tensor<X>(s, 3),
             out = random_tensor<X>(s, 4);
  attn::Saved<A, float, Memory> const saved(1, s.heads, s.tokens);
  auto const call = [&] { attn::attention(exec, a, q, k, v, out, saved, options); };
  call();  // loads the kernel
  measure(state, name, s, 2 * visible(options.mask, s.tokens), call);
  state.SetLabel(attn::describe(exec, a, q, k, v, out, options));
}

using Launches = attn::detail::cuda::BackwardLaunches;

template <class X, class A, class Options>
void backward(benchmark::State& state, std::string const& name, A const& a, Options const& options, Shape const& s,
              Launches launches) {
  attn::detail::cuda::backward_launches = launches;
  Exec const exec;
  auto const q = random_tensor<X>(s, 1), k = random_tensor<X>(s, 2), v = random_tensor<X>(s, 3),
             out = random_tensor<X>(s, 4), d_out = random_tensor<X>(s, 5), d_q = random_tensor<X>(s, 6),
             d_k = random_tensor<X>(s, 7), d_v = random_tensor<X>(s, 8);
  attn::Saved<A, float, Memory> const saved(1, s.heads, s.tokens);
  attn::attention(exec, a, q, k, v, out, saved, options);
  auto const call = [&] { attn::attention_backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options); };
  call();
  measure(state, name, s, 5 * visible(options.mask, s.tokens), call);
  state.SetLabel(attn::describe(exec, a, q, k, v, out, options));
}

template <class X, class A, class Options = attn::AttentionOptions<>>
void add(std::string const& activation, std::string const& format, A const& a, Shape const& s,
         Options const& options = {}) {
  auto const one = [&](std::string const& pass, auto const& run) {
    std::string const name = "attention_cuda/" + activation + "/" + format + "/" + pass + "/" +
                             std::to_string(s.heads) + "/" + std::to_string(s.tokens) + "/" + std::to_string(s.width);
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { run(state, name); })
        ->UseManualTime()
        ->MinTime(0.5 / Clock::calls)  // half a second, for a twentieth of what passes is counted
        ->Unit(benchmark::kMillisecond);
  };
  one("forward", [=](benchmark::State& state, std::string const& name) { forward<X>(state, name, a, options, s); });
  auto const in = [=](Launches launches) {
    return [=](benchmark::State& state, std::string const& name) { backward<X>(state, name, a, options, s, launches); };
  };
  one("backward", in(Launches::by_model));
#if defined(ATTN_CUDA_HOPPER)
  if (sizeof(X) == 2 && s.width == 64) {
    one("backward_in_one", in(Launches::one));
    one("backward_in_two", in(Launches::two));
  }
#endif
}

}  // namespace

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const guard(argc, argv);
  bench::Peers with(argc, argv, "attention_cuda.py");
  with.use({"--device", "cuda"});
  peers = &with;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  gemm_rate = bench::gemm_peak<attn::BFloat16>() * 1e-3;
  bench::describe_origin();
  benchmark::AddCustomContext("gemm_bf16_tflops", std::to_string(gemm_rate));

  for (Shape const& s : shapes()) {
    add<Bf16>("poly3", "bf16", attn::Poly<3>{}, s);
    add<Bf16>("softmax", "bf16", attn::Softmax{}, s);
  }
  Shape const middle{64, 4096, 64};
  add<Bf16>("poly3_causal", "bf16", attn::Poly<3>{}, middle, attn::AttentionOptions<attn::Causal>{});
  add<Fp16>("softmax", "fp16", attn::Softmax{}, middle);
  add<float>("poly3", "fp32", attn::Poly<3>{}, middle);
  add<float>("poly3", "tf32", attn::Poly<3>{}, middle,
             attn::AttentionOptions<attn::Full, attn::NoNorms, attn::Tf32Products>{});
  add<float>("softmax", "fp32", attn::Softmax{}, {65536, 5, 16});  // pseudo-sequences of a PINNsFormer

  benchmark::RunSpecifiedBenchmarks();
  peers->print();
  return 0;
}
