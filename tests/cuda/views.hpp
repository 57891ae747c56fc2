/// Views (2, heads, tokens, width) of tests on a GPU, drawn there, and what a host makes of them.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "draw_normal.hpp"

namespace attn_cuda {

template <class X>
using View = Kokkos::View<X****, Kokkos::LayoutRight, Kokkos::Cuda::memory_space>;

template <class X>
View<X> normal_view(attn::Index heads, attn::Index tokens, attn::Index width, std::uint64_t stream) {
  View<X> const x("x", 2, heads, tokens, width);
  draw_normal(x.data(), attn::Index(x.size()), {.seed = 5, .stream = stream});
  return x;
}

template <class X>
std::vector<double> on_host(View<X> const& x) {
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), x);
  std::vector<double> numbers;
  for (std::size_t i = 0; i < host.size(); ++i) numbers.push_back(double(host.data()[i]));
  return numbers;
}

/// In the Frobenius norm.
inline double relative_error(std::vector<double> const& got, std::vector<double> const& want) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  return std::sqrt(difference / size);
}

}  // namespace attn_cuda
