/// The planes of tensors of jets as the elementwise kernels of a host read them, and which of them a function of one
/// number can take by itself.
#pragma once

#include "attn/core/jet_tensor.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace attn::nn::detail {

/// The planes of a tensor of jets (of reals: the tensor), where a kernel finds them without arithmetic.
template <class T>
struct PlaneTable {
  using Element = RealOf<T>;
  static constexpr int size = 1;
  Element* at[1];
  bool has(int) const { return true; }
  explicit PlaneTable(Element const* p) : at{const_cast<Element*>(p)} {}
};
template <class T, int... Orders>
struct PlaneTable<Jet<T, Orders...>> {
  static constexpr int size = Jet<T, Orders...>::size;
  T* at[size];
  bool has(int c) const { return c >= 0 && at[c] != nullptr; }
  template <class J>
  explicit PlaneTable(JetPointer<J> const& p) {
    for (int c = 0; c < size; ++c) at[c] = const_cast<T*>(p.plane(c));
  }
};

template <class Value, class Lanes, class Table>
Value load_planes(Lanes const& lanes, Table const& table, Index i) {
  using R = typename Lanes::Value;
  Value v;
  if constexpr (std::same_as<Value, R>) {
    v = lanes.load(table.at[0] + i);
  } else {
    for (int c = 0; c < Table::size; ++c) {
      v.coefficients[c] = table.at[c] == nullptr ? R(0) : lanes.load(table.at[c] + i);
    }
  }
  return v;
}
template <class Value, class Lanes, class Table>
void store_planes(Lanes const& lanes, Table const& table, Index i, Value const& v) {
  if constexpr (std::same_as<Value, typename Lanes::Value>) {
    lanes.store(table.at[0] + i, v);
  } else {
    for (int c = 0; c < Table::size; ++c) {
      if (table.at[c] != nullptr) lanes.store(table.at[c] + i, v.coefficients[c]);
    }
  }
}

template <class T, class P>
struct PackedScalarTrait {
  using type = P;
};
template <class R, class P, int... Orders>
struct PackedScalarTrait<Jet<R, Orders...>, P> {
  using type = Jet<P, Orders...>;
};
/// `T` with packs in place of its reals.
template <class T>
using PackedScalar = typename PackedScalarTrait<T, typename HostLanes<RealOf<T>>::Value>::type;

template <class V>
ATTN_FUNCTION V top_coefficient(V const& v) {
  return v;
}
template <class P, int... Orders>
ATTN_FUNCTION P top_coefficient(Jet<P, Orders...> const& v) {
  return v.coefficients[Jet<P, Orders...>::size - 1];
}

/// The coefficients of one direction alone: of e and of e^2; -1 where the jet does not carry it.
struct DirectionCoefficients {
  int first, second;
};
template <class T>
inline constexpr std::array<DirectionCoefficients, 0> directions_of{};
template <class T, int... Orders>
inline constexpr auto directions_of<Jet<T, Orders...>> = [] {
  using Layout = typename Jet<T, Orders...>::Layout;
  std::array<DirectionCoefficients, sizeof...(Orders)> directions{};
  for (std::size_t d = 0; d < sizeof...(Orders); ++d) {
    std::array<int, sizeof...(Orders)> powers{};
    auto const coefficient = [&](int power) {
      powers[d] = power;
      return power <= Layout::orders[d] ? Layout::index(powers) : -1;
    };
    directions[d] = {coefficient(1), coefficient(2)};
  }
  return directions;
}();

/// Whether a tensor keeps no mixed derivatives and none above the second, as for u_tt and u_xx: with a e + b e^2 added
/// to x, f becomes f + f' a e + (f' b + f'' a^2 / 2) e^2 in each direction, where a product of jets would take a sum
/// over pairs of coefficients. Reals have no derivatives.
template <class X>
bool directions_are_apart(X const& x) {
  if constexpr (AnyJet<typename X::Scalar>) {
    for (int c = 1; c < X::Planes::size; ++c) {
      bool const alone = std::ranges::any_of(directions_of<typename X::Scalar>,
                                             [&](auto const& d) { return c == d.first || c == d.second; });
      if (!alone && x.planes()[c] >= 0) return false;
    }
  }
  return true;
}

}  // namespace attn::nn::detail
