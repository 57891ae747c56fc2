/// Numbers of tests on a GPU, which stay there: drawn as a layout has them, the same in double, and how far two of them
/// differ.
#pragma once

#include "attn/core/tensor.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "draw_normal.hpp"

namespace attn_cuda {

using attn::Index;
using Memory = Kokkos::Cuda::memory_space;
using Elements = Kokkos::RangePolicy<Kokkos::Cuda, Kokkos::IndexType<Index>>;

/// Element i of a tensor (B, H, N, D), in that order.
template <class X>
ATTN_FUNCTION X& element(attn::Tensor<X, 4, Memory> const& x, Index i) {
  Index const row = i / x.extent(3), head = row / x.extent(2);
  return x(head / x.extent(1), head % x.extent(1), row % x.extent(2), i % x.extent(3));
}

template <class X>
struct CopyToDouble {
  attn::Tensor<X, 4, Memory> from;
  attn::Tensor<double, 4, Memory> to;

  ATTN_FUNCTION void operator()(Index i) const { element(to, i) = double(element(from, i)); }
};

/// Rows of a sequence from `first` on become NaN, as does its padding.
template <class X>
struct Spoil {
  attn::Tensor<X, 4, Memory> x;
  Index sequence, first;

  ATTN_FUNCTION void operator()(Index i) const {
    Index const row = i / x.extent(3), of_sequence = x.extent(1) * x.extent(2);
    if (row / of_sequence == sequence && row % x.extent(2) >= first) {
      element(x, i) = X(std::numeric_limits<float>::quiet_NaN());
    }
  }
};

template <class X>
struct SquaredDifference {
  attn::Tensor<X, 4, Memory> got;
  attn::Tensor<double, 4, Memory> want;

  ATTN_FUNCTION void operator()(Index i, double& sum) const {
    double const difference = double(element(got, i)) - element(want, i);
    sum += difference * difference;
  }
};
struct Square {
  attn::Tensor<double, 4, Memory> x;

  ATTN_FUNCTION void operator()(Index i, double& sum) const { sum += element(x, i) * element(x, i); }
};
struct DifferingBytes {
  unsigned char const *a, *b;

  ATTN_FUNCTION void operator()(Index i, Index& n) const { n += a[i] != b[i]; }
};

enum class Layout { dense, packed_qkv, gaps };

/// Standard normal numbers (B, H, N, D). `stored` numbers lie between 0 and `stored.size()`.
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

  void spoil(Index sequence, Index first) const {
    Kokkos::parallel_for("spoil", Elements(0, tensor.size()), Spoil<X>{tensor, sequence, first});
    Kokkos::fence();
  }
};

/// The same numbers in double, dense.
struct Wide {
  Kokkos::View<double*, Memory> stored;
  attn::Tensor<double, 4, Memory> tensor;

  template <class X>
  explicit Wide(Numbers<X> const& x)
      : stored("wide", std::size_t(x.tensor.size())), tensor(stored.data(), x.tensor.extents()) {
    Kokkos::parallel_for("wide", Elements(0, tensor.size()), CopyToDouble<X>{x.tensor, tensor});
    Kokkos::fence();
  }
  std::vector<double> on_host() const {
    auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), stored);
    return {host.data(), host.data() + host.size()};
  }
};

/// In the Frobenius norm. Not a number where one of them is none, and so not less than anything.
template <class X>
double relative_error(attn::Tensor<X, 4, Memory> const& got, attn::Tensor<double, 4, Memory> const& want) {
  double difference = 0, size = 0;
  Kokkos::parallel_reduce("difference", Elements(0, want.size()), SquaredDifference<X>{got, want}, difference);
  Kokkos::parallel_reduce("size", Elements(0, want.size()), Square{want}, size);
  return std::sqrt(difference / size);
}

/// What lies between rows counts, too.
template <class X>
bool same_bits(Kokkos::View<X*, Memory> const& a, Kokkos::View<X*, Memory> const& b) {
  auto const bytes = [](auto const& x) { return reinterpret_cast<unsigned char const*>(x.data()); };
  Index differing = 0;
  Kokkos::parallel_reduce("differing bytes", Elements(0, Index(a.size() * sizeof(X))),
                          DifferingBytes{bytes(a), bytes(b)}, differing);
  return a.size() == b.size() && differing == 0;
}

}  // namespace attn_cuda
