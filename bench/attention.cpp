// Attention forward and backward beside the FMA peak, a large matrix product, and PyTorch.
//
//   attention [--peer=PYTHON [--rounds=7] [--turn=0.3]] [Google Benchmark's flags]
//
// Cases are named attention/<activation>/<pass>/<batch times heads>/<tokens>/<head width>; "_bias" adds one to the
// scores and makes its gradient, "_jets" are values with one derivative each. Operations are counted as
// 4 B N^2 d forward and 10 B N^2 d backward (five products: the scores are made again), for any activation; what a mask
// skips is counted as if it had been computed. The columns Time and CPU are means; the counters belong to the best
// call, which other work on the machine disturbs least: best_ms, GFLOP/s, its fraction of the FMA peak and of the
// matrix product that were measured in the same run, and GB/s, the bytes that a call must move at least (every tensor
// once) a second. The label says which kernel ran.
#include "attn/attention/attention.hpp"

#include "attn/activation/activation.hpp"
#include "attn/attention/describe.hpp"
#include "attn/core/random.hpp"

#include "peak.hpp"
#include "peers.hpp"

namespace {

using attn::Index;
using bench::Exec;
using Memory = Exec::memory_space;

double fma_rate = 0, gemm_rate = 0;
bench::Peers* peers = nullptr;

struct SquaredRelu {  // a user's activation, whose derivative comes from a jet
  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row row) const {
    T const positive = attn::max(score, T(0));
    return positive * positive / T(row.n_keys);
  }
};

struct Shape {
  Index heads, tokens, width;  // all heads of the batch
  Index batch = 1;
};
Shape const windows{2048, 49, 32, 256};    // Swin's
Shape const sequences{5202, 5, 16, 2601};  // PINNsFormer's
std::vector<Shape> const shapes = {{96, 197, 64}, {12, 256, 64},  {16, 1024, 64}, {8, 2048, 64},
                                   {2, 4096, 32}, {64, 1024, 32}, windows,        sequences};

std::string name_of(std::string const& activation, std::string const& pass, Shape const& s) {
  return "attention/" + activation + "/" + pass + "/" + std::to_string(s.heads) + "/" + std::to_string(s.tokens) + "/" +
         std::to_string(s.width);
}

template <class T>
Kokkos::View<T****, Kokkos::LayoutRight, Exec> random_tensor(Shape const& s, std::uint64_t stream) {
  Kokkos::View<T****, Kokkos::LayoutRight, Exec> const x("x", s.batch, s.heads / s.batch, s.tokens, s.width);
  auto const host = Kokkos::create_mirror_view(x);
  for (std::size_t i = 0; i < host.size(); ++i) {
    host.data()[i] = T(attn::normal<float>({.seed = 1, .stream = stream}, i));
  }
  Kokkos::deep_copy(x, host);
  return x;
}

/// Runs `call` as often as the benchmark wants, and beside the peer. `products` of N x N x d and `tensors` of N x d
/// make a head's work.
template <class T, class Call>
void measure(benchmark::State& state, std::string const& name, Shape const& s, double products, double tensors,
             Call const& call) {
  double best = 1e300;
  for (auto _ : state) {
    auto const start = std::chrono::steady_clock::now();
    call();
    best = std::min(best, bench::seconds_since(start));
  }
  double const numbers = double(s.heads) * double(s.tokens) * double(s.width);
  double const rate = 2 * products * numbers * double(s.tokens) / best * 1e-9;
  state.counters["best_ms"] = best * 1e3;
  state.counters["GFLOP/s"] = rate;
  state.counters["of_peak"] = rate / (sizeof(T) == 8 ? fma_rate / 2 : fma_rate);
  state.counters["of_gemm"] = rate / gemm_rate;
  state.counters["GB/s"] = tensors * numbers * sizeof(T) / best * 1e-9;
  peers->compare(name, bench::by_clock(call));
}

/// Without a bias, or with one for each head.
using WithBias = attn::ScoreBias<float, Memory>;
template <class Bias>
auto bias_for(Shape const& s) {
  if constexpr (std::same_as<Bias, WithBias>) {
    Shape const matrices{s.heads / s.batch, s.tokens, s.tokens};
    return std::pair(random_tensor<float>(matrices, 6), random_tensor<float>(matrices, 7));
  } else {
    return std::pair(0, 0);
  }
}
template <class Bias, class M>
auto options_of(M const& mask, [[maybe_unused]] auto const& memory) {
  attn::AttentionOptions<M, attn::NoNorms, attn::Fp32Products, Bias> options{.mask = mask};
  if constexpr (std::same_as<Bias, WithBias>) options.bias = {attn::Tensor(memory.first), memory.second};
  return options;
}

template <class T, class Bias, class A, class M>
void forward(benchmark::State& state, std::string const& name, A const& a, M const& mask, Shape const& s) {
  Exec const exec;
  auto const q = random_tensor<T>(s, 1), k = random_tensor<T>(s, 2), v = random_tensor<T>(s, 3),
             out = random_tensor<T>(s, 4);
  auto const bias = bias_for<Bias>(s);
  auto const options = options_of<Bias>(mask, bias);
  attn::Saved<A, attn::AccumulatorOf<T>, Memory> const saved(s.batch, s.heads / s.batch, s.tokens);
  measure<T>(state, name, s, 2, 4, [&] {
    attn::attention(exec, a, q, k, v, out, saved, options);
    exec.fence();
  });
  state.SetLabel(attn::describe(exec, a, q, k, v, out, options));
}

template <class T, class Bias, class A, class M>
void backward(benchmark::State& state, std::string const& name, A const& a, M const& mask, Shape const& s) {
  Exec const exec;
  auto const q = random_tensor<T>(s, 1), k = random_tensor<T>(s, 2), v = random_tensor<T>(s, 3),
             out = random_tensor<T>(s, 4), d_out = random_tensor<T>(s, 5);
  auto const d_q = random_tensor<T>(s, 6), d_k = random_tensor<T>(s, 7), d_v = random_tensor<T>(s, 8);
  auto const bias = bias_for<Bias>(s);
  auto const options = options_of<Bias>(mask, bias);
  attn::Saved<A, attn::AccumulatorOf<T>, Memory> const saved(s.batch, s.heads / s.batch, s.tokens);
  attn::attention(exec, a, q, k, v, out, saved, options);
  measure<T>(state, name, s, 5, 8, [&] {
    attn::attention_backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
    exec.fence();
  });
  state.SetLabel(attn::describe(exec, a, q, k, v, out, options));
}

/// Values with one derivative each, in planes: a product of two such numbers is three of floats.
using Derivative = attn::Jet<float, 1>;
struct Derivatives {
  Kokkos::View<float*****, Kokkos::LayoutRight, Exec> planes;  // (2, B, H, N, D)
  attn::Tensor<Derivative, 4, Memory> tensor;

  Derivatives(Shape const& s, std::uint64_t stream)
      : planes("planes", 2, s.batch, s.heads / s.batch, s.tokens, s.width) {
    for (Index p = 0; p < 2; ++p) {
      auto const plane = Kokkos::subview(planes, p, Kokkos::ALL, Kokkos::ALL, Kokkos::ALL, Kokkos::ALL);
      Kokkos::deep_copy(plane, random_tensor<float>(s, stream + 100 * std::uint64_t(p)));
    }
    tensor = {attn::Tensor<float, 4, Memory>(planes.data(), {s.batch, s.heads / s.batch, s.tokens, s.width}),
              Index(planes.size()) / 2, attn::JetPlanes<Derivative>()};
  }
};
template <class A>
void with_derivatives(benchmark::State& state, std::string const& name, A const& a, Shape const& s, bool backward) {
  Exec const exec;
  Derivatives const q(s, 1), k(s, 2), v(s, 3), out(s, 4), d_out(s, 5), d_q(s, 6), d_k(s, 7), d_v(s, 8);
  auto const saved = attn::attention(exec, a, q.tensor, k.tensor, v.tensor, out.tensor);
  measure<float>(state, name, s, 3 * (backward ? 5 : 2), 2 * (backward ? 8 : 4), [&] {
    if (backward) {
      attn::attention_backward(exec, a, q.tensor, k.tensor, v.tensor, out.tensor, saved, d_out.tensor.adjoint(),
                               d_q.tensor.adjoint(), d_k.tensor.adjoint(), d_v.tensor.adjoint());
    } else {
      attn::attention(exec, a, q.tensor, k.tensor, v.tensor, out.tensor, saved);
    }
    exec.fence();
  });
}

template <class T = float, class Bias = attn::NoBias, class A, class M = attn::Full>
void add(std::string const& activation, A const& a, Shape const& s, M const& mask = {}) {
  auto const one = [&](char const* pass, auto const& run) {
    std::string const name = name_of(activation, pass, s);
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { run(state, name); })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  };
  one("forward", [=](benchmark::State& state, std::string const& name) { forward<T, Bias>(state, name, a, mask, s); });
  one("backward",
      [=](benchmark::State& state, std::string const& name) { backward<T, Bias>(state, name, a, mask, s); });
}

}  // namespace

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const guard(argc, argv);
  bench::Peers with(argc, argv, "attention.py");
  with.use({"--threads", std::to_string(Exec().concurrency())});
  peers = &with;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  fma_rate = bench::fma_peak();
  gemm_rate = bench::gemm_peak();
  bench::describe_run(fma_rate, gemm_rate);

  for (Shape const& s : shapes) {
    add("poly3", attn::Poly<3>{}, s);
    add("softmax", attn::Softmax{}, s);
  }
  add<float, WithBias>("poly3_bias", attn::Poly<3>{}, windows);
  add<float, WithBias>("softmax_bias", attn::Softmax{}, windows);
  for (bool const backward : {false, true}) {
    auto const add_derivatives = [&](std::string const& activation, auto const& a) {
      std::string const name = name_of(activation, backward ? "backward" : "forward", sequences);
      benchmark::RegisterBenchmark(
          name.c_str(), [=](benchmark::State& state) { with_derivatives(state, name, a, sequences, backward); })
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
    };
    add_derivatives("poly3_jets", attn::Poly<3>{});
    add_derivatives("softmax_jets", attn::Softmax{});
  }
  Shape const middle{16, 1024, 64}, long_one{8, 2048, 64};
  add("poly2", attn::Poly<2>{}, middle);
  add("squared_relu", SquaredRelu{}, middle);
  add<double>("poly3_fp64", attn::Poly<3>{}, middle);
  add<double>("softmax_fp64", attn::Softmax{}, middle);
  add<attn::BFloat16>("poly3_bf16", attn::Poly<3>{}, middle);
  add<attn::Float16>("poly3_fp16", attn::Poly<3>{}, middle);
  add("poly3_causal", attn::Poly<3>{}, long_one, attn::Causal{});
  add("softmax_causal", attn::Softmax{}, long_one, attn::Causal{});
  add("poly3_window256", attn::Poly<3>{}, {2, 4096, 32}, attn::Window{.before = 128, .after = 127});
  for (Index const width : {17, 33, 65, 100, 128}) add("poly3", attn::Poly<3>{}, {16, 512, width});
  for (Index const tokens : {1, 7, 16, 17}) add("poly3", attn::Poly<3>{}, {2048, tokens, 32, 2048});

  benchmark::RunSpecifiedBenchmarks();
  peers->print();
  return 0;
}
