/// On a GPU: tensor cores serve and are as accurate as promised, against the textbook on the host, at lengths for which
/// there are kernels of their own, over widths and masks. A file for each format, so that many cores compile them.
#pragma once

#include "attn/activation/activation.hpp"
#include "attn/attention/attention.hpp"
#include "attn/attention/describe.hpp"
#include "attn/attention/reference.hpp"

#include <gtest/gtest.h>

#include <concepts>
#include <string>
#include <vector>

#include "views.hpp"

namespace attn_cuda::accuracy {

using attn::Index;
using Exec = Kokkos::Cuda;

/// One type of mask for all: a window in packed sequences of `group` tokens.
struct WindowsInGroups {
  attn::Window window;
  int group;

  ATTN_FUNCTION attn::KeyRange keys(attn::Query q) const {
    attn::KeyRange const range = window.keys(q);
    int const first = q.index / group * group, last = first + group;
    return {range.begin > first ? range.begin : first, range.end < last ? range.end : last};
  }
  ATTN_FUNCTION int length(int, int) const { return group; }
};

template <class X, class Products = attn::Fp32Products, class A>
void expect_accurate(A const& a, Index tokens, Index width, WindowsInGroups const& mask, double tolerance) {
  Exec const exec;
  attn::AttentionOptions<WindowsInGroups, attn::NoNorms, Products> const options{.mask = mask};
  auto const q = normal_view<X>(4, tokens, width, 1), k = normal_view<X>(2, tokens, width, 2),
             v = normal_view<X>(2, tokens, width, 3), d_out = normal_view<X>(4, tokens, width, 4);
  auto const out = normal_view<X>(4, tokens, width, 5), d_q = normal_view<X>(4, tokens, width, 6),
             d_k = normal_view<X>(2, tokens, width, 7), d_v = normal_view<X>(2, tokens, width, 8);
  auto const name = attn::describe(exec, a, q, k, v, out, options);
  bool const is_fp32 = std::same_as<X, float> && std::same_as<Products, attn::Fp32Products>;
  bool const has_room = exec.cuda_device_prop().sharedMemPerBlockOptin > 100 << 10 || width <= (is_fp32 ? 64 : 128);
  EXPECT_EQ(name.find("tensor cores") != std::string::npos, has_room) << name << " serves heads of " << width;
  auto const saved = attn::attention(exec, a, q, k, v, out, options);
  attn::attention_backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
  exec.fence();

  auto const wide = [](auto const& x, auto& memory) {
    memory = on_host(x);
    return attn::Tensor<double, 4, Kokkos::HostSpace>(
        memory.data(), {Index(x.extent(0)), Index(x.extent(1)), Index(x.extent(2)), Index(x.extent(3))});
  };
  std::vector<double> memory[8];
  auto const q_ = wide(q, memory[0]), k_ = wide(k, memory[1]), v_ = wide(v, memory[2]), d_out_ = wide(d_out, memory[3]),
             out_ = wide(out, memory[4]), d_q_ = wide(d_q, memory[5]), d_k_ = wide(d_k, memory[6]),
             d_v_ = wide(d_v, memory[7]);
  attn::AttentionOptions<WindowsInGroups> const exactly{.mask = mask};
  attn::reference::attention(a, q_, k_, v_, out_, exactly);
  attn::reference::attention_backward(a, q_, k_, v_, d_out_, d_q_, d_k_, d_v_, exactly);
  EXPECT_LT(relative_error(on_host(out), memory[4]), tolerance) << name;
  EXPECT_LT(relative_error(on_host(d_q), memory[5]), tolerance) << name;
  EXPECT_LT(relative_error(on_host(d_k), memory[6]), tolerance) << name;
  EXPECT_LT(relative_error(on_host(d_v), memory[7]), tolerance) << name;
}

/// Of softmax, in numbers X.
template <class X, class Products = attn::Fp32Products>
void expect_accurate(double tolerance) {
  constexpr int all = 1 << 20;
  auto const expect = [&](Index tokens, Index width, WindowsInGroups const& mask) {
    if (!attn::detail::cuda::has_width(width)) return;  // compiled without: ATTN_CUDA_WIDTHS
    expect_accurate<X, Products>(attn::Softmax{}, tokens, width, mask, tolerance);
  };
  for (Index const tokens : {5, 49, 197, 333}) {
    for (Index const width : {16, 64, 100, 128, 256}) expect(tokens, width, {{all, all}, int(tokens)});
  }
  for (Index const width : {64, 128}) {  // causal, windowed, packed sequences, and all of it
    for (WindowsInGroups const& mask : {WindowsInGroups{{all, 0}, 400}, WindowsInGroups{{30, 7}, 400},
                                        WindowsInGroups{{all, all}, 200}, WindowsInGroups{{70, 0}, 150}}) {
      expect(400, width, mask);
    }
  }
}

}  // namespace attn_cuda::accuracy
