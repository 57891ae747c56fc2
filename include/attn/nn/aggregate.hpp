/// Aggregate: several tensors that go through modules as one value.
///
/// A pyramid of feature maps, packed sequences with their offsets, regions with their boxes: a module takes and returns
/// them whole. What counts as an aggregate:
///
///  * a tensor;
///  * a `std::array`, `std::vector`, `std::pair` or `std::tuple` of aggregates;
///  * a struct that lists those of its members that hold tensors:
///
///        struct Pyramid {
///          Tensor<float, 4> fine, coarse;                    // (B, H, W, C)
///          static constexpr auto tensors = std::tuple(&Pyramid::fine, &Pyramid::coarse);
///        };
///
/// Tensors of the context's scalar are differentiated; others (offsets, labels, boxes of integers) go along.
#pragma once

#include "attn/core/tensor.hpp"

#include <array>
#include <concepts>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace attn::nn {

namespace detail {

template <class X>
inline constexpr bool is_tensor = false;
template <class T, int Rank, class Memory>
inline constexpr bool is_tensor<Tensor<T, Rank, Memory>> = true;

template <class X>
inline constexpr bool is_vector = false;
template <class X, class Allocator>
inline constexpr bool is_vector<std::vector<X, Allocator>> = true;

template <class X>
concept TupleLike = requires {
  std::tuple_size<X>::value;
};

template <class X>
concept ListsTensors = requires {
  std::tuple_size<std::remove_cvref_t<decltype(X::tensors)>>::value;
};

/// Whether `X` is an aggregate; a struct is taken at its word until its members are visited.
template <class X>
constexpr bool is_aggregate() {
  if constexpr (is_tensor<X> || ListsTensors<X>) {
    return true;
  } else if constexpr (is_vector<X>) {
    return is_aggregate<typename X::value_type>();
  } else if constexpr (TupleLike<X>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (is_aggregate<std::tuple_element_t<I, X>>() && ...);
    }
    (std::make_index_sequence<std::tuple_size_v<X>>());
  } else {
    return false;
  }
}

}  // namespace detail

/// What a module maps: a tensor, or tensors that belong together.
template <class X>
concept Aggregate = detail::is_aggregate<std::remove_cvref_t<X>>();

/// visit(tensor) for each tensor of `x`, in the order in which it lists them. A mutable aggregate hands out its tensors
/// by reference, so that they can be replaced.
template <class X, class Visit>
requires Aggregate<X>
void for_each_tensor(X& x, Visit const& visit) {
  using Value = std::remove_const_t<X>;
  if constexpr (detail::is_tensor<Value>) {
    visit(x);
  } else if constexpr (detail::is_vector<Value>) {
    for (auto& element : x) for_each_tensor(element, visit);
  } else if constexpr (detail::ListsTensors<Value>) {
    std::apply([&](auto... members) { (for_each_tensor(x.*members, visit), ...); }, Value::tensors);
  } else {
    std::apply([&](auto&... elements) { (for_each_tensor(elements, visit), ...); }, x);
  }
}

/// An aggregate: what a pair of token sequences attends with, x (B, N, C) to memory (B, M, C). Also their gradients.
template <class T, class Memory = Kokkos::DefaultExecutionSpace::memory_space>
struct Cross {
  Tensor<T, 3, Memory> x, memory;
  static constexpr auto tensors = std::tuple(&Cross::x, &Cross::memory);

  template <std::same_as<T const> U>
  requires(!std::is_const_v<T>) operator Cross<U, Memory>() const { return {x, memory}; }
};

/// Queries and a memory, as tensors of a context.
template <class Ctx>
using CrossOf = Cross<typename Ctx::Scalar, typename Ctx::MemorySpace>;
/// The same, to read.
template <class Ctx>
using ConstCrossOf = Cross<typename Ctx::Scalar const, typename Ctx::MemorySpace>;

}  // namespace attn::nn
