/// JetPlanes: which coefficients of a jet a tensor keeps, and in which plane of memory each of them lies.
///
/// A plane holds one coefficient of all elements of the tensor. A tensor need not keep all coefficients: with u, u_x
/// and u_t wanted but not u_xt, `Jet<T, 1, 1>` keeps three planes, and the fourth coefficient reads as zero. The kept
/// coefficients come out exact if the set holds, with each coefficient, all that divide it: a product adds to
/// coefficient c only products of coefficients that divide c, so nothing kept ever depends on what was dropped.
#pragma once

#include "attn/core/jet.hpp"

#include <bitset>

namespace attn {

/// Whether T is a `Jet`.
template <class T>
inline constexpr bool is_jet = false;
/// @copydoc is_jet
template <class T, int... Orders>
inline constexpr bool is_jet<Jet<T, Orders...>> = true;
/// A number that carries derivatives.
template <class T>
concept AnyJet = is_jet<T>;

/// Where the coefficients of a jet lie: `of[c]` is the plane of coefficient c, or -1 where it is not kept.
template <AnyJet J>
struct JetPlanes {
  static constexpr int size = J::size;
  static_assert(size <= 127, "JetPlanes: use a jet with at most 127 coefficients");

  Kokkos::Array<signed char, std::size_t(size)> of{};
  int count = 0;

  /// All coefficients, in their own order.
  constexpr JetPlanes() : count(size) {
    for (int c = 0; c < size; ++c) of[std::size_t(c)] = static_cast<signed char>(c);
  }

  /// The coefficients in `wanted`, and all that divide one of them.
  static constexpr JetPlanes closure_of(std::bitset<std::size_t(size)> const& wanted) {
    JetPlanes planes;
    planes.count = 0;
    for (int c = 0; c < size; ++c) {
      bool kept = c == 0;
      for (int w = c; w < size && !kept; ++w) kept = wanted[std::size_t(w)] && divides(c, w);
      planes.of[std::size_t(c)] = static_cast<signed char>(kept ? planes.count++ : -1);
    }
    return planes;
  }

  /// The same planes as adjoints of what they hold, or back.
  ATTN_FUNCTION constexpr JetPlanes adjoint() const {
    JetPlanes reversed = *this;
    for (int c = 0; c < size; ++c) reversed.of[std::size_t(c)] = of[std::size_t(size - 1 - c)];
    return reversed;
  }

  ATTN_FUNCTION constexpr int operator[](int coefficient) const { return of[std::size_t(coefficient)]; }
  constexpr bool operator==(JetPlanes const& other) const {
    for (int c = 0; c < size; ++c) {
      if (of[std::size_t(c)] != other.of[std::size_t(c)]) return false;
    }
    return true;
  }

 private:
  static constexpr bool divides(int a, int b) {
    for (int d = 0; d < J::Layout::directions; ++d) {
      if (J::Layout::digit(a, d) > J::Layout::digit(b, d)) return false;
    }
    return true;
  }
};

/// Where a real has its planes: it has one. What a `Context` of reals carries.
struct NoPlanes {
  ATTN_FUNCTION constexpr NoPlanes adjoint() const { return {}; }
};
/// `PlanesOf<T>::type`: what a tensor of T keeps to find its planes: nothing for reals.
template <class T>
struct PlanesOfTrait {
  using type = NoPlanes;
};
template <class T, int... Orders>
struct PlanesOfTrait<Jet<T, Orders...>> {
  using type = JetPlanes<Jet<T, Orders...>>;
};
/// @copydoc PlanesOfTrait
template <class T>
using PlanesOf = typename PlanesOfTrait<std::remove_const_t<T>>::type;

}  // namespace attn
