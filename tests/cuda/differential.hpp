/// On a GPU: kernels on tensor cores, Hopper's or all generations', against the portable ones in fp64, over masks,
/// layouts and widths, and of few queries; each call's kernel by name, and its bits a second time.
#pragma once

#include "attn/activation/activation.hpp"
#include "attn/attention/attention.hpp"
#include "attn/attention/describe.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "draw_normal.hpp"

namespace attn_cuda::differential {

using attn::Index;
using Exec = Kokkos::Cuda;
using Memory = Exec::memory_space;

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

enum class Layout { dense, packed_qkv, gaps };

/// Numbers (B, H, N, D) in memory of the device, as a layout has them. `stored` numbers lie between 0 and
/// `stored.size()`.
template <class X>
struct Numbers {
  Kokkos::View<X*, Memory> stored;
  attn::Tensor<X, 4, Memory> tensor;

  Numbers(attn::Extents<4> const& e, Layout layout, std::uint64_t stream) {
    Index const columns = layout == Layout::gaps ? e[3] + 8 : e[3];
    attn::Extents<4> strides = {e[1] * e[2] * columns, e[2] * columns, columns, 1};
    if (layout == Layout::packed_qkv) strides = {3 * e[1] * e[2] * e[3], e[3], 3 * e[1] * e[3], 1};
    stored = Kokkos::View<X*, Memory>("stored", std::size_t(strides[0] * e[0]));
    tensor = {stored.data(), e, strides};
    draw_normal(stored.data(), Index(stored.size()), {.seed = 11, .stream = stream});
  }

  std::vector<X> bytes() const {
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), stored);
    return {host.data(), host.data() + host.size()};
  }
  /// As numbers of double, dense.
  std::vector<double> values() const {
    auto const all = bytes();
    std::vector<double> dense;
    auto const& e = tensor.extents();
    for (Index b = 0; b < e[0]; ++b) {
      for (Index h = 0; h < e[1]; ++h) {
        for (Index n = 0; n < e[2]; ++n) {
          for (Index d = 0; d < e[3]; ++d) {
            dense.push_back(double(
                float(all[std::size_t(b * tensor.stride(0) + h * tensor.stride(1) + n * tensor.stride(2) + d)])));
          }
        }
      }
    }
    return dense;
  }
  /// Rows of sequence b from `first` on become NaN.
  void spoil(Index b, Index first) {
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), stored);
    for (Index h = 0; h < tensor.extent(1); ++h) {
      for (Index n = first; n < tensor.extent(2); ++n) {
        for (Index d = 0; d < tensor.extent(3); ++d) {
          host(std::size_t(b * tensor.stride(0) + h * tensor.stride(1) + n * tensor.stride(2) + d)) =
              X(std::numeric_limits<float>::quiet_NaN());
        }
      }
    }
    Kokkos::deep_copy(stored, host);
  }
};

/// The same numbers in double, dense, where the portable kernels read them.
struct Wide {
  Kokkos::View<double*, Memory> stored;
  attn::Tensor<double, 4, Memory> tensor;

  template <class X>
  explicit Wide(Numbers<X> const& x) {
    auto const values = x.values();
    stored = Kokkos::View<double*, Memory>("wide", values.size());
    Kokkos::deep_copy(stored, Kokkos::View<double const*, Kokkos::HostSpace>(values.data(), values.size()));
    tensor = {stored.data(), x.tensor.extents()};
  }
  std::vector<double> values() const {
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), stored);
    return {host.data(), host.data() + host.size()};
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
        gradient({2, s.heads, s.tokens, s.tokens}, Layout::dense, 9) {}
  Scores clear() const {
    Kokkos::deep_copy(gradient.stored, R(0));
    return {values.tensor, gradient.tensor};
  }
};
/// None.
struct Nothing {
  using Scores = attn::NoBias;
  explicit Nothing(Shape const&) {}
  Scores clear() const { return {}; }
};

/// One call, forward and backward. `activation(parameters)`: with its trained number and that one's gradient in memory
/// of the device.
template <class X, class Products, class MakeActivation, bool has_bias = false>
class Call {
 public:
  Call(Shape const& s, Layout layout, AnyMask const& mask, MakeActivation const& activation)
      : shape_(s), layout_(layout), activation_(activation) {
    options_.mask = mask;
  }

  /// `serving`: what the kernel's name contains. Rows of sequence 1 behind `padded`, if it is not zero, are NaN.
  void expect_right(std::string const& serving, double tolerance, Index padded = 0) {
    Shape const& s = shape_;
    attn::Extents<4> const queries = {s.batch, s.heads, s.queries, s.width},
                           keys = {s.batch, s.key_heads, s.tokens, s.width};
    Numbers<X> q(queries, layout_, 1), k(keys, layout_, 2), v(keys, layout_, 3), d_out(queries, layout_, 4);
    if (padded > 0) {
      k.spoil(1, padded);
      v.spoil(1, padded);
    }
    Kokkos::View<float*, Memory> const parameter("parameter", 1), gradient("gradient", 1), wide_gradient("gradient", 1);
    Kokkos::deep_copy(parameter, 0.3f);

    BiasOf<float> const bias(s);
    auto const run = [&] {
      options_.bias = bias.clear();
      std::vector<Numbers<X>> results;
      for (auto const* e : {&queries, &queries, &keys, &keys}) results.emplace_back(*e, layout_, 9);
      Kokkos::deep_copy(gradient, 0.0f);
      auto const a = activation_(parameter.data(), gradient.data());
      auto const name = attn::describe(exec_, a, q.tensor, k.tensor, v.tensor, results[0].tensor, options_);
      EXPECT_NE(name.find(serving), std::string::npos) << name << " serves heads of " << s.width;
      auto const saved = attn::attention(exec_, a, q.tensor, k.tensor, v.tensor, results[0].tensor, options_);
      attn::attention_backward(exec_, a, q.tensor, k.tensor, v.tensor, results[0].tensor, saved, d_out.tensor,
                               results[1].tensor, results[2].tensor, results[3].tensor, options_);
      exec_.fence();
      return results;
    };
    auto const got = run();
    float const d_parameter = on_host(gradient);
    [[maybe_unused]] auto const d_bias = bias_gradient(bias);
    auto const again = run();

    Wide const wide_q(q), wide_k(k), wide_v(v), wide_d_out(d_out);
    std::vector<Wide> want;
    for (auto const& x : got) want.emplace_back(x);
    BiasOf<double> const wide_bias(s);
    attn::AttentionOptions<AnyMask, attn::NoNorms, attn::Fp32Products, typename BiasOf<double>::Scores> const exactly{
        .mask = options_.mask, .bias = wide_bias.clear()};
    auto const a = activation_(parameter.data(), wide_gradient.data());
    auto const saved = attn::attention(exec_, a, wide_q.tensor, wide_k.tensor, wide_v.tensor, want[0].tensor, exactly);
    attn::attention_backward(exec_, a, wide_q.tensor, wide_k.tensor, wide_v.tensor, want[0].tensor, saved,
                             wide_d_out.tensor, want[1].tensor, want[2].tensor, want[3].tensor, exactly);
    exec_.fence();

    char const* const names[] = {"out", "d_q", "d_k", "d_v"};
    for (std::size_t r = 0; r < got.size(); ++r) {
      EXPECT_LT(error(got[r].values(), want[r].values()), tolerance) << names[r];
      auto const first = got[r].bytes(), second = again[r].bytes();
      EXPECT_EQ(std::memcmp(first.data(), second.data(), first.size() * sizeof(X)), 0)
          << names[r] << " has other bits in a second run";
    }
    if constexpr (has_bias) {
      EXPECT_LT(error(d_bias, bias_gradient(wide_bias)), tolerance) << "d_bias";
      EXPECT_EQ(d_bias, bias_gradient(bias)) << "d_bias has other bits in a second run";
    }
    EXPECT_EQ(d_parameter, on_host(gradient)) << "the trained number's gradient has other bits in a second run";
    float const expected = on_host(wide_gradient);
    EXPECT_LE(std::abs(d_parameter - expected), 10 * tolerance * (1 + std::abs(expected)));
  }

 private:
  template <class R>
  using BiasOf = std::conditional_t<has_bias, Bias<R>, Nothing>;

  template <class R>
  static std::vector<double> bias_gradient(Bias<R> const& bias) {
    auto const numbers = bias.gradient.bytes();
    return {numbers.begin(), numbers.end()};
  }
  static std::vector<double> bias_gradient(Nothing const&) { return {}; }
  static float on_host(Kokkos::View<float*, Memory> const& x) {
    return Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), x)(0);
  }
  static double error(std::vector<double> const& got, std::vector<double> const& want) {
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      difference += (got[i] - want[i]) * (got[i] - want[i]);  // NaN stays, and fails
      size += want[i] * want[i];
    }
    return std::sqrt(difference / size);
  }

  Exec exec_;
  Shape shape_;
  Layout layout_;
  MakeActivation activation_;
  attn::AttentionOptions<AnyMask, attn::NoNorms, Products, typename BiasOf<float>::Scores> options_ = {};
};

/// Gradients by two launches, and by one where there is a kernel for it.
template <class Work>
void for_launches(bool has_one, Work const& work) {
  using attn::detail::cuda::backward_launches, attn::detail::cuda::BackwardLaunches;
  for (auto const launches : {BackwardLaunches::two, BackwardLaunches::one}) {
    if (launches == BackwardLaunches::one && !has_one) continue;
    SCOPED_TRACE(launches == BackwardLaunches::one ? "one launch" : "two launches");
    backward_launches = launches;
    work();
  }
  backward_launches = BackwardLaunches::by_model;
}

/// Over masks, layouts and widths; then so many tiles that every block of a persistent kernel takes three.
template <class X, class Products = attn::Fp32Products, class MakeActivation>
void expect_right(double tolerance, MakeActivation const& activation) {
  constexpr int all = 1 << 20;
  auto const properties = Exec().cuda_device_prop();
  [[maybe_unused]] bool const narrow = sizeof(X) == 2, tf32 = std::same_as<Products, attn::Tf32Products>;
  bool hopper = false;     // its kernels make gradients, too
  Index hopper_width = 0;  // of its widest forward kernel
#if defined(ATTN_CUDA_HOPPER)
  if (properties.major == 9 && properties.minor == 0) {
    hopper = narrow;
    hopper_width = narrow ? 256 : tf32 ? 128 : 0;
  }
#endif
  Kokkos::View<int*, Memory> const lengths("lengths", 2);
  auto const host_lengths = Kokkos::create_mirror_view(lengths);
  host_lengths(0) = 333;
  host_lengths(1) = 130;
  Kokkos::deep_copy(lengths, host_lengths);
  AnyMask const full{{all, all}, all, nullptr}, causal{{all, 0}, all, nullptr}, window{{30, 7}, all, nullptr},
      padding{{all, all}, all, lengths.data()}, groups{{all, all}, 200, nullptr};

  for (Index const width : {16, 40, 64, 128, 256}) {
    if (!attn::detail::cuda::has_width(width)) continue;  // compiled without: ATTN_CUDA_WIDTHS
    bool const is_fp32 = sizeof(X) == 4 && !tf32;  // where a block has 100 KiB, wide heads are for portable kernels
    bool const has_room = properties.sharedMemPerBlockOptin > 100 << 10 || width <= (is_fp32 ? 64 : 128);
    std::string const serving = width <= hopper_width ? "Hopper" : has_room ? "tensor cores" : "";
    auto const call = [&](Layout layout, AnyMask const& mask, Index key_heads) {
      for_launches(hopper && width > 32 && width <= 64, [&] {
        SCOPED_TRACE("width " + std::to_string(width) + ", layout " + std::to_string(int(layout)) + ", key heads " +
                     std::to_string(key_heads));
        Call<X, Products, MakeActivation>({2, 4, key_heads, 333, width}, layout, mask, activation)
            .expect_right(serving, tolerance, mask.lengths == nullptr ? 0 : 130);
      });
    };
    for (AnyMask const& mask : {full, causal, window, padding, groups}) call(Layout::dense, mask, 4);
    for (Layout const layout : {Layout::packed_qkv, Layout::gaps}) call(layout, causal, 4);
    call(Layout::dense, causal, 2);
  }
  Index const width = 64;
  if (!attn::detail::cuda::has_width(width)) return;
  for (Index const queries : {1, 5}) {  // of few heads
    SCOPED_TRACE("keys go to many blocks");
    AnyMask const last{{all, 0, 20000 - int(queries)}, all, nullptr};
    Call<X, Products, MakeActivation>({1, 8, 2, 20000, width, queries}, Layout::dense, last, activation)
        .expect_right("keys in parts", tolerance);
  }
  Index const heads = std::max(1, 3 * properties.multiProcessorCount / 10);  // of ten tiles of 192 rows
  for (AnyMask const& mask : {full, causal}) {
    for_launches(hopper, [&] {
      SCOPED_TRACE("three tiles for each block");
      Call<X, Products, MakeActivation>({1, heads, heads, 1920, width}, Layout::dense, mask, activation)
          .expect_right(width <= hopper_width ? "Hopper" : "tensor cores", tolerance);
    });
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
