/// On a GPU: Hopper's kernels and those of all generations of tensor cores against the portable ones in fp64, over
/// masks, layouts and widths, and of few queries; each pass's kernel by name, and its bits a second time.
#pragma once

#include "attn/activation/activation.hpp"
#include "attn/attention/attention.hpp"
#include "attn/attention/describe.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "device_numbers.hpp"
#include "graph.hpp"

namespace attn_cuda::differential {

namespace cuda = attn::detail::cuda;
using cuda::BackwardLaunches;
using Exec = Kokkos::Cuda;

/// One type of mask for all: a window, within packed sequences, of keys before the padding.
struct AnyMask {
  attn::Window window;
  int group;           ///< tokens of each packed sequence
  int const* lengths;  ///< of each sequence of the batch, or null

  ATTN_FUNCTION attn::KeyRange keys(attn::Query q) const {
    attn::KeyRange range = window.keys(q);
    int const first = q.index / group * group, last = first + group;
    if (range.begin < first) range.begin = first;
    if (range.end > last) range.end = last;
    if (lengths != nullptr && range.end > lengths[q.batch]) range.end = lengths[q.batch];
    return range;
  }
  ATTN_FUNCTION int length(int batch, int n_keys) const {
    if (lengths != nullptr) return lengths[batch];
    return group < n_keys ? group : n_keys;
  }
};

struct Shape {
  Index batch, heads, key_heads, tokens, width;
  Index queries = tokens;
};

/// A bias that every other sequence shares, and its gradient.
template <class R>
struct Bias {
  using Scores = attn::ScoreBias<R, Memory>;
  Numbers<R> values, gradient;

  explicit Bias(Shape const& s)
      : values({2, s.heads, s.tokens, s.tokens}, Layout::dense, 5),
        gradient({2, s.heads, s.tokens, s.tokens}, Layout::dense, 9) {
    Kokkos::deep_copy(gradient.stored, R(0));
  }
  Scores scores() const { return {values.tensor, gradient.tensor}; }
};
/// None.
struct Nothing {
  using Scores = attn::NoBias;
  explicit Nothing(Shape const&) {}
  Scores scores() const { return {}; }
};

/// By which kernels a call is to run. From a graph, blocks that stay on their multiprocessors take tiles in fixed
/// turns, the same number each but for one.
struct Way {
  std::string forward, backward;  ///< what the names of the kernels contain
  bool warpgroups = false;        ///< may be Hopper's
  BackwardLaunches launches = BackwardLaunches::two;
  bool recorded = false;

  std::string name() const {
    return std::string(warpgroups ? "warpgroups" : "mma.sync") +
           (launches == BackwardLaunches::one ? ", one launch" : ", two launches") + (recorded ? ", from a graph" : "");
  }
};

/// Calls go that way while it lives.
class GoesBy {
 public:
  explicit GoesBy(Way const& way) {
    cuda::uses_warpgroups = way.warpgroups;
    cuda::backward_launches = way.launches;
  }
  ~GoesBy() {
    cuda::uses_warpgroups = true;
    cuda::backward_launches = BackwardLaunches::by_model;
  }
  GoesBy(GoesBy const&) = delete;
  GoesBy& operator=(GoesBy const&) = delete;
};

/// One call, forward and backward. `activation(parameters)`: with its trained number and that one's gradient in memory
/// of the device.
template <class X, class Products, class MakeActivation, bool has_bias = false>
class Call {
 public:
  Call(Shape const& s, Layout layout, AnyMask const& mask, MakeActivation const& activation)
      : shape_(s),
        layout_(layout),
        mask_(mask),
        activation_(activation),
        q_(queries(), layout, 1),
        k_(keys(), layout, 2),
        v_(keys(), layout, 3),
        d_out_(queries(), layout, 4),
        parameter_("parameter", 1) {
    Kokkos::deep_copy(parameter_, 0.3f);
  }

  /// Keys and values of sequence 1 from row `first` on become NaN.
  void spoil(Index first) {
    k_.spoil(1, first);
    v_.spoil(1, first);
  }

  void expect_right(std::vector<Way> const& ways, double tolerance) const {
    Exact const want(*this);
    for (Way const& way : ways) {
      SCOPED_TRACE(way.name());
      Results const got(*this), again(*this);
      run(way, got);
      run(way, again);
      char const* const names[] = {"out", "d_q", "d_k", "d_v"};
      for (std::size_t r = 0; r < got.tensors.size(); ++r) {
        EXPECT_LT(relative_error(got.tensors[r].tensor, want.tensors[r].tensor), tolerance) << names[r];
        EXPECT_TRUE(same_bits(got.tensors[r].stored, again.tensors[r].stored))
            << names[r] << " has other bits in a second run";
      }
      if constexpr (has_bias) {
        EXPECT_LT(relative_error(got.bias.gradient.tensor, want.bias.gradient.tensor), tolerance) << "d_bias";
        EXPECT_TRUE(same_bits(got.bias.gradient.stored, again.bias.gradient.stored))
            << "d_bias has other bits in a second run";
      }
      EXPECT_TRUE(same_bits(got.d_parameter, again.d_parameter))
          << "the trained number's gradient has other bits in a second run";
      float const expected = on_host(want.d_parameter);
      EXPECT_LE(std::abs(on_host(got.d_parameter) - expected), 10 * tolerance * (1 + std::abs(expected)));
    }
  }

 private:
  using View = Kokkos::View<float*, Memory>;
  template <class R>
  using BiasOf = std::conditional_t<has_bias, Bias<R>, Nothing>;
  using A = decltype(std::declval<MakeActivation>()(nullptr, nullptr));

  /// Of one run. Gradients of the parameter and of a bias are added to, and are zero before.
  struct Results {
    std::vector<Numbers<X>> tensors;  ///< out, d_q, d_k, d_v
    BiasOf<float> bias;
    View d_parameter{"gradient", 1};

    explicit Results(Call const& call) : bias(call.shape_) {
      for (auto const& e : {call.queries(), call.queries(), call.keys(), call.keys()}) {
        tensors.emplace_back(e, call.layout_, 9);
      }
    }
  };
  /// By the portable kernels in double.
  struct Exact {
    std::vector<Wide> tensors;
    BiasOf<double> bias;
    View d_parameter{"gradient", 1};

    explicit Exact(Call const& call) : bias(call.shape_) {
      Wide const q(call.q_), k(call.k_), v(call.v_), d_out(call.d_out_);
      for (auto const* x : {&call.q_, &call.q_, &call.k_, &call.v_}) tensors.emplace_back(*x);
      attn::AttentionOptions<AnyMask, attn::NoNorms, attn::Fp32Products, typename BiasOf<double>::Scores> const options{
          .mask = call.mask_, .bias = bias.scores()};
      auto const a = call.activation_(call.parameter_.data(), d_parameter.data());
      auto const saved = attn::attention(call.exec_, a, q.tensor, k.tensor, v.tensor, tensors[0].tensor, options);
      attn::attention_backward(call.exec_, a, q.tensor, k.tensor, v.tensor, tensors[0].tensor, saved, d_out.tensor,
                               tensors[1].tensor, tensors[2].tensor, tensors[3].tensor, options);
      call.exec_.fence();
    }
  };

  void run(Way const& way, Results const& to) const {
    GoesBy const those(way);
    attn::AttentionOptions<AnyMask, attn::NoNorms, Products, typename BiasOf<float>::Scores> const options{
        .mask = mask_, .bias = to.bias.scores()};
    auto const a = activation_(parameter_.data(), to.d_parameter.data());
    auto const &q = q_.tensor, &k = k_.tensor, &v = v_.tensor, &out = to.tensors[0].tensor;
    expect_served(way.forward, attn::describe(exec_, a, q, k, v, out, options));
    expect_served(way.backward, attn::describe<attn::Pass::backward>(exec_, a, q, k, v, out, options));
    attn::Saved<A, float, Memory> const saved(a, shape_.batch, shape_.heads, shape_.queries);  // not while recorded
    auto const work = [&] {
      attn::attention(exec_, a, q, k, v, out, saved, options);
      attn::attention_backward(exec_, a, q, k, v, out, saved, d_out_.tensor, to.tensors[1].tensor, to.tensors[2].tensor,
                               to.tensors[3].tensor, options);
    };
    std::optional<Graph> graph;
    way.recorded ? graph.emplace(exec_.cuda_stream(), work).replay() : work();
    exec_.fence();
  }
  void expect_served(std::string const& serving, std::string const& name) const {
    EXPECT_NE(name.find(serving), std::string::npos) << name << " serves heads of " << shape_.width;
  }
  static float on_host(View const& x) { return Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), x)(0); }
  attn::Extents<4> queries() const { return {shape_.batch, shape_.heads, shape_.queries, shape_.width}; }
  attn::Extents<4> keys() const { return {shape_.batch, shape_.key_heads, shape_.tokens, shape_.width}; }

  Exec exec_;
  Shape shape_;
  Layout layout_;
  AnyMask mask_;
  MakeActivation activation_;
  Numbers<X> q_, k_, v_, d_out_;
  View parameter_;
};

/// All ways of a call of more than 64 queries. `one_launch`: one may make all gradients.
template <class X, class Products>
std::vector<Way> ways(Index width, [[maybe_unused]] bool one_launch) {
  auto const properties = Exec().cuda_device_prop();
  constexpr cuda::Format F = cuda::format_for<X, Products>;
  // Where a block has 100 KiB, wide heads are for portable kernels.
  bool const has_room = properties.sharedMemPerBlockOptin > 100 << 10 || width <= (F == cuda::Format::fp32 ? 64 : 128);
  std::string const all_generations = has_room ? "(tensor cores" : "(team)", hopper = "(Hopper's tensor cores";
  std::vector<Way> all = {{all_generations, all_generations}};
#if defined(ATTN_CUDA_HOPPER)
  auto const widest = [](attn::Pass pass) {  // of tf32, as docs/gpu.md has it
    return cuda::is_narrow<F> ? 256 : F == cuda::Format::fp32 ? 0 : pass == attn::Pass::forward ? 128 : 64;
  };
  if (cuda::has_wgmma(Exec()) && width <= widest(attn::Pass::forward)) {
    std::string const& backward = width <= widest(attn::Pass::backward) ? hopper : all_generations;
    all.push_back({hopper, backward, true});
    if (one_launch) all.push_back({hopper, backward, true, BackwardLaunches::one});
  }
#endif
  return all;
}

constexpr int all_keys = 1 << 20;

/// Over masks, layouts and widths.
template <class X, class Products, class MakeActivation>
void expect_right_in_all_layouts(double tolerance, MakeActivation const& activation) {
  using A = decltype(activation(nullptr, nullptr));
  constexpr cuda::Format F = cuda::format_for<X, Products>;
  Kokkos::View<int*, Memory> const lengths("lengths", 2);
  auto const host_lengths = Kokkos::create_mirror_view(lengths);
  host_lengths(0) = 333;
  host_lengths(1) = 130;
  Kokkos::deep_copy(lengths, host_lengths);
  attn::Window const everything{all_keys, all_keys};
  AnyMask const full{everything, all_keys, nullptr}, causal{{all_keys, 0}, all_keys, nullptr},
      window{{30, 7}, all_keys, nullptr}, padding{everything, all_keys, lengths.data()},
      groups{everything, 200, nullptr};
  struct Rows {
    Layout layout;
    Index key_heads;
  };
  for (Index const width : {16, 40, 64, 128, 256}) {
    if (!cuda::has_width(width)) continue;  // compiled without: ATTN_CUDA_WIDTHS
    auto const all_ways = ways<X, Products>(width, cuda::has_one_pass<F, 64, A> && width > 32 && width <= 64);
    for (Rows const& rows : {Rows{Layout::dense, 4}, {Layout::packed_qkv, 4}, {Layout::gaps, 4}, {Layout::dense, 2}}) {
      for (AnyMask const& mask : {full, causal, window, padding, groups}) {
        SCOPED_TRACE("width " + std::to_string(width) + ", layout " + std::to_string(int(rows.layout)) +
                     ", key heads " + std::to_string(rows.key_heads));
        Call<X, Products, MakeActivation> call({2, 4, rows.key_heads, 333, width}, rows.layout, mask, activation);
        if (mask.lengths != nullptr) call.spoil(130);
        call.expect_right(all_ways, tolerance);
      }
    }
  }
}

/// Of few heads, so that keys go to many blocks.
template <class X, class Products, class MakeActivation>
void expect_right_of_few_queries(double tolerance, MakeActivation const& activation) {
  for (Index const queries : {1, 5}) {
    SCOPED_TRACE(std::to_string(queries) + " queries of many keys");
    AnyMask const last{{all_keys, 0, 20000 - int(queries)}, all_keys, nullptr};
    Call<X, Products, MakeActivation>({1, 8, 2, 20000, 64, queries}, Layout::dense, last, activation)
        .expect_right({{"keys in parts", "(tensor cores", true}}, tolerance);
  }
}

/// So many heads that there are three tiles for every block that stays on its multiprocessor. Blocks that take a tile
/// when they are done with another may take two or four; in fixed turns, from a graph, each takes three at least.
template <class X, class Products, class MakeActivation>
void expect_right_of_three_tiles(double tolerance, MakeActivation const& activation) {
  using A = decltype(activation(nullptr, nullptr));
  Index const width = 64, tokens = 1920;
  int const blocks = Exec().cuda_device_prop().multiProcessorCount, longest = 64 * cuda::hopper_consumers(64, tokens);
  Index const heads = attn::detail::tiles_of(3 * blocks, attn::detail::tiles_of(tokens, longest));
  for (int const own : {longest, 128}) {  // rows of a tile
    cuda::WorkOrder const order(heads, attn::detail::tiles_of(tokens, own), tokens * width * 4, 1 << 20);
    for (int block = 0; block < blocks; ++block) {
      ASSERT_LT(cuda::WorkOrder::work(block, blocks, 2), order.size()) << "a third work of block " << block;
    }
  }
  auto all_ways = ways<X, Products>(width, cuda::has_one_pass<cuda::format_for<X, Products>, 64, A>);
  for (Way way : ways<X, Products>(width, false)) {  // one launch is for what is not recorded
    way.recorded = true;
    all_ways.push_back(way);
  }
  attn::Window const everything{all_keys, all_keys}, past{all_keys, 0};
  for (attn::Window const& window : {everything, past}) {
    SCOPED_TRACE("three tiles for each block");
    Call<X, Products, MakeActivation>({1, heads, heads, tokens, width}, Layout::dense, {window, all_keys, nullptr},
                                      activation)
        .expect_right(all_ways, tolerance);
  }
}

template <class X, class Products = attn::Fp32Products, class MakeActivation>
void expect_right(double tolerance, MakeActivation const& activation) {
  expect_right_in_all_layouts<X, Products>(tolerance, activation);
  if (cuda::has_width(64)) {
    expect_right_of_few_queries<X, Products>(tolerance, activation);
    expect_right_of_three_tiles<X, Products>(tolerance, activation);
  }
}

/// In every format that tensor cores take, with the errors that docs/gpu.md promises.
template <class MakeActivation>
void expect_right_in_all_formats(MakeActivation const& activation) {
  expect_right<Kokkos::Experimental::bhalf_t>(1e-2, activation);
  expect_right<Kokkos::Experimental::half_t>(2e-3, activation);
  expect_right<float>(1e-5, activation);
  expect_right<float, attn::Tf32Products>(2e-3, activation);
}

}  // namespace attn_cuda::differential
