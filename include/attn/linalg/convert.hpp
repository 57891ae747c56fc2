/// convert: the numbers of a matrix in another scalar.
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/matrix_functors.hpp"
#include "attn/core/narrow.hpp"
#include "attn/core/tensor.hpp"

#include <type_traits>

namespace attn::linalg {

/// to = from (m, n), rounded where `to` is narrower; both with unit stride in rows. One of the two is `float`, or they
/// are the same.
template <ExecutionSpace Exec, class S, class T, class Memory>
requires AccessibleFrom<Memory, Exec>
void convert(Exec const& exec, Tensor<S, 2, Memory> const& from, Tensor<T, 2, Memory> const& to) {
  using From = std::remove_const_t<S>;
  using Wide = AccumulatorOf<T>;
  static_assert(std::same_as<AccumulatorOf<From>, Wide>, "convert: give numbers of two bytes and floats");
  ATTN_CHECK(from.extents() == to.extents() && (from.stride(1) == 1 || from.extent(1) <= 1) &&
                 (to.stride(1) == 1 || to.extent(1) <= 1),
             "convert: give matrices of one shape whose second stride is 1");
  elementwise<Wide>(exec, "attn::convert", to.extent(0), to.extent(1),
                    CopyMatrix<From, T>{from.data(), to.data(), from.stride(0), to.stride(0)});
}

}  // namespace attn::linalg
