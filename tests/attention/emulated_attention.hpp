/// Calls of the tensor-core kernels in emulated blocks: inputs as they are stored, errors against the reference.
#pragma once

#include "attn/attention/detail/cuda/launch.hpp"

#include <cmath>
#include <limits>
#include <numeric>

#include "cases.hpp"
#include "emulated_block.hpp"

namespace attn_test {

using Bf16 = attn::BFloat16;
using Fp16 = attn::Float16;

/// The errors that the library promises, relative in the Frobenius norm.
inline double promised_error(cuda::Format format) {
  switch (format) {
    case cuda::Format::bf16:
      return 1e-2;
    case cuda::Format::fp16:
      return 2e-3;
    case cuda::Format::tf32:
      return 2e-3;
    case cuda::Format::fp32:
      return 1e-5;
  }
  return 0;
}

/// How rows lie in memory: (batch, tokens, heads, width) or (batch, heads, tokens, width), `gap` elements between rows,
/// `shift` before the first; all of these are NaN.
struct Layout {
  bool tokens_first = false;
  Index gap = 0, shift = 0;
};

template <class X>
class Stored {
 public:
  using Host = Kokkos::HostSpace;

  Stored(attn::Extents<4> const& extents, Layout const& layout) : extents_(extents) {
    Index const row = extents[3] + layout.gap;
    auto const [b, h, n, d] = std::array{extents[0], extents[1], extents[2], extents[3]};
    strides_ = layout.tokens_first ? attn::Extents<4>{n * h * row, row, h * row, 1}
                                   : attn::Extents<4>{h * n * row, n * row, row, 1};
    shift_ = layout.shift;
    // Kokkos' allocations start at multiples of 64 bytes.
    memory_ = Kokkos::View<X*, Host>("stored", std::size_t(b * h * n * row + shift_ + 1));
    for (std::size_t i = 0; i < memory_.extent(0); ++i) memory_(i) = X(std::numeric_limits<float>::quiet_NaN());
  }
  Stored(attn::Extents<4> const& extents, Layout const& layout, std::vector<double> const& values)
      : Stored(extents, layout) {
    for_each([&](std::size_t i, X& x) { x = X(values[i]); });
  }
  attn::Tensor<X, 4, Host> tensor() const { return {memory_.data() + shift_, extents_, strides_}; }
  std::vector<double> numbers() const {
    std::vector<double> all(std::size_t(tensor().size()));
    for_each([&](std::size_t i, X& x) { all[i] = double(float(x)); });
    return all;
  }
  /// Nothing but the elements was written.
  bool gaps_are_untouched() const {
    std::size_t nan = 0;
    for (std::size_t i = 0; i < memory_.extent(0); ++i) nan += float(memory_(i)) != float(memory_(i));
    return nan == memory_.extent(0) - std::size_t(tensor().size());
  }

 private:
  template <class Work>
  void for_each(Work const& work) const {
    std::size_t i = 0;
    for (Index b = 0; b < extents_[0]; ++b) {
      for (Index h = 0; h < extents_[1]; ++h) {
        for (Index n = 0; n < extents_[2]; ++n) {
          for (Index d = 0; d < extents_[3]; ++d) work(i++, tensor()(b, h, n, d));
        }
      }
    }
  }

  attn::Extents<4> extents_, strides_;
  Index shift_;
  Kokkos::View<X*, Host> memory_;
};

/// Returns the number of matrices that were read with conflicts of banks.
template <class Kernel>
long emulate(Kernel const& kernel) {
  BlockEmulator emulator(Kernel::Shape::warps, Kernel::shared_bytes);
  for (long i = 0; i < kernel.blocks(); ++i) {
    emulator.run([&](int thread) { kernel(EmulatedBlock(emulator, thread, i)); });
  }
  return emulator.conflicts;
}

inline double relative_error(std::vector<double> const& got, std::vector<double> const& want) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  return size > 0 ? std::sqrt(difference / size) : std::sqrt(difference);
}

/// Which kernels: the numbers in memory, the width of tiles, how they are multiplied and cut.
template <class X_, int width_, cuda::Length length_ = cuda::Length::any, cuda::Format format_ = cuda::format_of<X_>>
struct Kernels {
  using X = X_;
  static constexpr int width = width_;
  static constexpr cuda::Length length = length_;
  static constexpr cuda::Format format = format_;
};

/// One token in which all numbers of an array are not finite.
struct Spoilt {
  int array = -1;  ///< 0 ... 3: q, k, v, d_out
  Index token = 0;
  float number = std::numeric_limits<float>::quiet_NaN();

  template <class X>
  void spoil(int which, Stored<X> const& x) const {
    auto const t = x.tensor();
    for (Index row = 0; which == array && row < t.extent(0) * t.extent(1) * t.extent(3); ++row) {
      t(row / t.extent(3) / t.extent(1), row / t.extent(3) % t.extent(1), token, row % t.extent(3)) = X(number);
    }
  }
};

/// Kernels compile to other ways for attn::Full than for all other masks, of which one stands for all.
template <class A, class Dropout_ = attn::NoDropout, bool has_bias_ = false, class Mask_ = AnyMask>
struct EmulatedInputs {
  using Activation = A;
  using Dropout = Dropout_;
  using Mask = Mask_;
  static constexpr bool has_bias = has_bias_;
  using Bias = std::conditional_t<has_bias, attn::ScoreBias<float, Kokkos::HostSpace>, attn::NoBias>;

  A activation;
  Shape shape;
  Mask mask = {};
  Layout layout = {};
  double score_scale = 0;
  bool padding_is_nan = false;  ///< keys and values behind a sequence's length
  Spoilt spoilt = {};
  Dropout dropout = {};
  Layout bias_layout = {};

  attn::Extents<4> bias_extents() const {
    if (!has_bias) return {};
    return {shape.biases, shape.bias_heads, shape.queries, shape.keys};
  }
  attn::Extents<4> out_extents() const { return {shape.batch, shape.heads, shape.queries, shape.value_width}; }
  Index rows() const { return shape.batch * shape.heads * shape.queries; }
  float scale() const {
    attn::AttentionOptions<Mask> const options{.mask = mask, .score_scale = score_scale};
    return attn::reference::detail::score_scale<float>(options, shape.width);
  }
};

/// The same random numbers for all kernels, rounded to X.
template <class X>
struct StoredInputs {
  static constexpr double d_bias_before = 0.125;  // gradients are added to what is there

  Stored<X> q, k, v, d_out;
  Stored<float> bias, d_bias;

  explicit StoredInputs(auto const& in)
      : q({in.shape.batch, in.shape.heads, in.shape.queries, in.shape.width}, in.layout,
          normal_numbers(in.shape.q_size(), 1)),
        k({in.shape.batch, in.shape.kv_heads, in.shape.keys, in.shape.width}, in.layout,
          normal_numbers(in.shape.k_size(), 2)),
        v({in.shape.batch, in.shape.kv_heads, in.shape.keys, in.shape.value_width}, in.layout,
          normal_numbers(in.shape.v_size(), 3)),
        d_out({in.shape.batch, in.shape.heads, in.shape.queries, in.shape.value_width}, in.layout,
              normal_numbers(in.shape.out_size(), 4)),
        bias(in.bias_extents(), in.bias_layout, normal_numbers(in.shape.bias_size(), 5)),
        d_bias(in.bias_extents(), in.bias_layout,
               std::vector<double>(std::size_t(in.shape.bias_size()), d_bias_before)) {
    in.spoilt.spoil(0, q);
    in.spoilt.spoil(1, k);
    in.spoilt.spoil(2, v);
    in.spoilt.spoil(3, d_out);
    Shape const& s = in.shape;
    for (Index b = 0; in.padding_is_nan && b < s.batch; ++b) {
      for (Index j = in.mask.length(int(b), int(s.keys)); j < s.keys; ++j) {
        for (Index h = 0; h < s.kv_heads; ++h) {
          for (Index d = 0; d < s.width; ++d) k.tensor()(b, h, j, d) = X(std::numeric_limits<float>::quiet_NaN());
          for (Index e = 0; e < s.value_width; ++e) v.tensor()(b, h, j, e) = X(std::numeric_limits<float>::quiet_NaN());
        }
      }
    }
  }
  template <class Bias>
  Bias bias_of_scores() const {
    if constexpr (std::same_as<Bias, attn::NoBias>) {
      return {};
    } else {
      return {bias.tensor(), d_bias.tensor()};
    }
  }
};

/// All results of the emulated kernels, and of the reference in double for the same rounded inputs.
struct EmulatedOutputs {
  std::vector<double> out, d_q, d_k, d_v, d_bias = {}, stats = {}, parts = {};
  bool gaps_are_untouched = true;
  long conflicts = 0;
};

/// What a backward pass is given, of EmulatedInputs `In`, and what it makes.
template <class X, class In>
struct EmulatedBackward {
  using T = attn::Tensor<X, 4, Kokkos::HostSpace>;
  using A = typename In::Activation;
  using Stats = attn::detail::StatsOf<A, float>;
  using Bias = typename In::Bias;
  using Inputs =
      attn::detail::TeamBackwardInputs<A, T, T, T, T, T, typename In::Mask, Bias, Stats, float, typename In::Dropout>;
  static constexpr int n_parameters = attn::detail::parameter_count<A, float>;

  Inputs inputs;
  std::vector<float> facts, parts;
  Stored<X> d_q, d_k, d_v;

  EmulatedBackward(In const& in, StoredInputs<X> const& stored, Stored<X> const& out, Stats* saved)
      : inputs{in.activation,
               stored.q.tensor(),
               stored.k.tensor(),
               stored.v.tensor(),
               out.tensor(),
               stored.d_out.tensor(),
               saved,
               in.mask,
               stored.template bias_of_scores<Bias>(),
               in.scale(),
               in.dropout},
        facts(std::size_t(2 * in.rows())),
        parts(std::size_t(in.rows() * n_parameters + 1)),
        d_q({in.shape.batch, in.shape.heads, in.shape.queries, in.shape.width}, in.layout),
        d_k({in.shape.batch, in.shape.kv_heads, in.shape.keys, in.shape.width}, in.layout),
        d_v({in.shape.batch, in.shape.kv_heads, in.shape.keys, in.shape.value_width}, in.layout) {}

  void put_into(EmulatedOutputs& result) const {
    result.d_q = d_q.numbers();
    result.d_k = d_k.numbers();
    result.d_v = d_v.numbers();
    double sum = 0;
    for (float const part : parts) sum += part;
    if (n_parameters > 0) result.parts = {sum};
    result.gaps_are_untouched &= d_q.gaps_are_untouched() && d_k.gaps_are_untouched() && d_v.gaps_are_untouched();
  }
};

/// The statistics of all rows, and their normalizers.
template <class A>
struct EmulatedStats {
  std::vector<attn::detail::StatsOf<A, float>> rows;

  explicit EmulatedStats(auto const& in) : rows(std::size_t(in.rows())) {}
  auto* saved() { return attn::RowActivation<A, float> ? rows.data() : nullptr; }
  std::vector<double> normalizers(A const& a) const {
    std::vector<double> all;
    if constexpr (attn::RowActivation<A, float>) {
      for (auto const& row : rows) all.push_back(a.normalizer(row));
    }
    return all;
  }
};

/// Forward and backward by the kernels that CUDA would run.
template <class K, class In>
EmulatedOutputs run_emulated(In const& in, bool backward = true) {
  using X = typename K::X;
  using A = typename In::Activation;
  using T = attn::Tensor<X, 4, Kokkos::HostSpace>;
  constexpr cuda::Format F = K::format;
  Shape const& s = in.shape;
  StoredInputs<X> const stored(in);
  using Bias = typename In::Bias;
  Bias const bias = stored.template bias_of_scores<Bias>();
  auto const &q = stored.q, &k = stored.k, &v = stored.v;
  Stored<X> const out({s.batch, s.heads, s.queries, s.value_width}, in.layout);
  bool const aligned = cuda::has_aligned_rows(q.tensor()) && cuda::has_aligned_rows(k.tensor()) &&
                       cuda::has_aligned_rows(v.tensor()) && cuda::has_aligned_rows(out.tensor());
  EmulatedStats<A> stats(in);

  using ForwardTileShape = cuda::ForwardTileShape<F, K::width, K::length>;
  EmulatedOutputs result;
  using Forward =
      cuda::Forward<F, K::width, ForwardTileShape, A, T, T, T, T, typename In::Mask, typename In::Dropout, Bias>;
  result.conflicts = emulate(Forward{in.activation, q.tensor(), k.tensor(), v.tensor(), out.tensor(), stats.saved(),
                                     in.mask, in.scale(), aligned, in.dropout, bias});
  result.out = out.numbers();
  result.gaps_are_untouched = out.gaps_are_untouched();
  result.stats = stats.normalizers(in.activation);
  if (!backward) return result;

  EmulatedBackward<X, In> b(in, stored, out, stats.saved());
  auto const gradient = [&](auto part, T const& first, T const& second) {
    using TileShape = cuda::BackwardTileShape<F, K::width, part(), K::length>;
    using Kernel = cuda::Gradient<F, K::width, TileShape, part(), decltype(b.inputs), T, T>;
    result.conflicts += emulate(Kernel{{b.inputs, b.facts.data(), b.parts.data()}, first, second, aligned});
  };
  using cuda::Part;
  gradient(std::integral_constant<Part, Part::queries>(), b.d_q.tensor(), T());
  if constexpr (cuda::joins_keys_and_values<K::width>) {
    gradient(std::integral_constant<Part, Part::keys_and_values>(), b.d_k.tensor(), b.d_v.tensor());
  } else {
    gradient(std::integral_constant<Part, Part::keys>(), b.d_k.tensor(), T());
    gradient(std::integral_constant<Part, Part::values>(), T(), b.d_v.tensor());
  }
  b.put_into(result);
  if constexpr (In::has_bias) {
    using Kernel =
        cuda::BiasGradient<F, K::width, cuda::BiasTileShape<F, K::width>, decltype(b.inputs), decltype(bias.gradient)>;
    result.conflicts += emulate(Kernel{{b.inputs, b.facts.data(), nullptr}, bias.gradient, aligned});
    result.d_bias = stored.d_bias.numbers();
    for (double& x : result.d_bias) x -= stored.d_bias_before;
    result.gaps_are_untouched &= stored.d_bias.gaps_are_untouched();
  }
  return result;
}

/// The same by the reference, in double, for inputs rounded to X.
template <class X, class In>
EmulatedOutputs run_reference(In const& in) {
  Shape const& s = in.shape;
  auto const rounded = [](attn::Extents<4> const& extents, Index n, std::uint64_t stream) {
    return Stored<double>(extents, {}, Stored<X>(extents, {}, normal_numbers(n, stream)).numbers());
  };
  attn::Extents<4> const q_extents{s.batch, s.heads, s.queries, s.width},
      k_extents{s.batch, s.kv_heads, s.keys, s.width}, v_extents{s.batch, s.kv_heads, s.keys, s.value_width},
      out_extents{s.batch, s.heads, s.queries, s.value_width};
  auto const q = rounded(q_extents, s.q_size(), 1), k = rounded(k_extents, s.k_size(), 2),
             v = rounded(v_extents, s.v_size(), 3), d_out = rounded(out_extents, s.out_size(), 4);
  in.spoilt.spoil(0, q);
  in.spoilt.spoil(1, k);
  in.spoilt.spoil(2, v);
  in.spoilt.spoil(3, d_out);
  Stored<double> const out(out_extents, {}), d_q(q_extents, {}), d_k(k_extents, {}), d_v(v_extents, {});
  Stored<double> const bias(in.bias_extents(), {},
                            Stored<float>(in.bias_extents(), {}, normal_numbers(s.bias_size(), 5)).numbers()),
      d_bias(in.bias_extents(), {}, std::vector<double>(std::size_t(s.bias_size())));
  using Bias = std::conditional_t<In::has_bias, attn::ScoreBias<double, Kokkos::HostSpace>, attn::NoBias>;
  attn::AttentionOptions<typename In::Mask, attn::NoNorms, attn::Fp32Products, Bias, typename In::Dropout> options{
      .mask = in.mask, .score_scale = in.score_scale, .dropout = in.dropout};
  if constexpr (In::has_bias) options.bias = {bias.tensor(), d_bias.tensor()};
  EmulatedOutputs result;
  auto const with = [&](auto const& a) {
    attn::reference::attention(a, q.tensor(), k.tensor(), v.tensor(), out.tensor(), options);
    attn::reference::attention_backward(a, q.tensor(), k.tensor(), v.tensor(), d_out.tensor(), d_q.tensor(),
                                        d_k.tensor(), d_v.tensor(), options);
  };
  if constexpr (attn::LearnableActivation<typename In::Activation, float>) {
    auto const learned = in.activation.parameters();
    std::vector<double> const value(learned.value, learned.value + (learned.per_head ? s.heads : 1));
    std::vector<double> gradient(value.size());
    with(in.activation.bind(attn::LearnedParameters<double>{value.data(), gradient.data(), learned.per_head}));
    result.parts = {std::accumulate(gradient.begin(), gradient.end(), 0.0)};
  } else {
    with(in.activation);
  }
  result.out = out.numbers();
  result.d_q = d_q.numbers();
  result.d_k = d_k.numbers();
  result.d_v = d_v.numbers();
  result.d_bias = d_bias.numbers();
  return result;
}

/// Whether all results are within `tolerance` of those of the reference, relative in the Frobenius norm.
inline attn::testing::Verdict are_right(EmulatedOutputs const& got, EmulatedOutputs const& want, Shape const& shape,
                                        double tolerance) {
  attn::testing::Verdict verdict;
  auto const compare = [&](char const* name, std::vector<double> const& x, std::vector<double> const& y) {
    double const error = relative_error(x, y);
    if (!(error <= tolerance)) {
      verdict &= attn::testing::Verdict(std::string(name) + ": error " + std::to_string(error) + ", allowed " +
                                        std::to_string(tolerance));
    }
  };
  compare("out", got.out, want.out);
  compare("d_q", got.d_q, want.d_q);
  compare("d_k", got.d_k, want.d_k);
  compare("d_v", got.d_v, want.d_v);
  compare("d_bias", got.d_bias, want.d_bias);
  if (!want.parts.empty()) {  // terms of both signs: the error is relative to what as many of them add up to by chance
    double const chance = std::sqrt(double(shape.out_size()));
    compare("d_parameter", {got.parts[0], chance}, {want.parts[0], chance});
  }
  if (got.conflicts > 0) {
    verdict &= attn::testing::Verdict(std::to_string(got.conflicts) + " matrices were read with conflicts of banks");
  }
  if (!got.gaps_are_untouched) verdict &= attn::testing::Verdict("memory between the rows was written");
  return verdict;
}
template <class K>
attn::testing::Verdict emulated_is_right(auto const& in) {
  return are_right(run_emulated<K>(in), run_reference<typename K::X>(in), in.shape, promised_error(K::format));
}

/// `are_right` where inputs are not all finite. What is not finite in `want` is not in `got`, where it may spread over
/// all results of the same query, or of the same key; those of the others are right.
inline attn::testing::Verdict are_right_where_finite(EmulatedOutputs got, EmulatedOutputs want, Shape const& shape,
                                                     double tolerance) {
  attn::testing::Verdict verdict;
  auto const add_spoilt = [](std::vector<bool>& rows, std::vector<double> const& x, Index width) {
    rows.resize(x.size() / std::size_t(width));
    for (std::size_t i = 0; i < x.size(); ++i)
      rows[i / std::size_t(width)] = rows[i / std::size_t(width)] || !std::isfinite(x[i]);
  };
  auto const compare = [&](char const* name, std::vector<double>& x, std::vector<double>& y, Index width,
                           std::vector<bool> const& spoilt) {
    for (std::size_t i = 0; i < y.size(); ++i) {
      std::size_t const row = i / std::size_t(width);
      if (std::isfinite(x[i]) != std::isfinite(y[i]) && !(spoilt[row] && std::isfinite(y[i]))) {
        verdict &= attn::testing::Verdict("row " + std::to_string(row) + " has " + std::to_string(x[i]) + " for " +
                                          std::to_string(y[i]))
                       .about(name);
        return;
      }
      if (spoilt[row]) x[i] = y[i] = 0;
    }
  };
  std::vector<bool> queries, keys, parts, biases;
  add_spoilt(queries, want.out, shape.value_width);
  add_spoilt(queries, want.d_q, shape.width);
  add_spoilt(keys, want.d_k, shape.width);
  add_spoilt(keys, want.d_v, shape.value_width);
  add_spoilt(parts, want.parts, 1);
  compare("out", got.out, want.out, shape.value_width, queries);
  compare("d_q", got.d_q, want.d_q, shape.width, queries);
  compare("d_k", got.d_k, want.d_k, shape.width, keys);
  compare("d_v", got.d_v, want.d_v, shape.value_width, keys);
  compare("d_parameter", got.parts, want.parts, 1, parts);
  add_spoilt(biases, want.d_bias, 1);
  compare("d_bias", got.d_bias, want.d_bias, 1, biases);
  got.gaps_are_untouched = true;  // gaps are told by NaN, and results may be
  return verdict ? are_right(got, want, shape, tolerance) : verdict;
}

/// Calls check(inputs) with numbers that are not finite in each array in turn.
template <class A, class Check>
void for_spoilt(EmulatedInputs<A> in, Check const& check) {
  for (int array = 0; array < 4; ++array) {
    Index const tokens = array == 1 || array == 2 ? in.shape.keys : in.shape.queries;
    for (Index const token : {tokens / 2, tokens - 1}) {
      in.spoilt = {array, token};
      if (token == tokens - 1) in.spoilt.number = std::numeric_limits<float>::infinity();
      check(in);
    }
  }
}

}  // namespace attn_test
