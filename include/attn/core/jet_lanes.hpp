/// Elementwise work on tensors of jets: the lanes of core/elementwise.hpp, for jets in planes.
///
/// On a host, each coefficient of a jet is a vector of as many elements; on a device, a thread has one jet. Parameters
/// are reals, and load as reals.
#pragma once

#include "attn/core/elementwise.hpp"
#include "attn/core/jet_pointer.hpp"

namespace attn {

template <class T, int... Orders>
struct OneLane<Jet<T, Orders...>> {
  using J = Jet<T, Orders...>;
  using Value = J;
  using RealValue = T;
  static ATTN_FUNCTION T load(T const* p) { return *p; }
  static ATTN_FUNCTION void store(T* p, T value) { *p = value; }
  static ATTN_FUNCTION J load(JetPointer<J const> const& p) { return p.load(); }
  static ATTN_FUNCTION J load(JetPointer<J> const& p) { return p.load(); }
  static ATTN_FUNCTION void store(JetPointer<J> const& p, J const& value) { p.store(value); }
};

namespace detail {

template <class Lanes, class T, int... Orders>
struct JetLanes : Lanes {
  using J = Jet<T, Orders...>;
  using Value = Jet<Pack<T>, Orders...>;
  using RealValue = Pack<T>;
  using Lanes::load;
  using Lanes::store;

  Value load(JetPointer<J const> const& p) const {
    Value v;
    for (int c = 0; c < J::size; ++c) {
      T const* const at = p.plane(c);
      v.coefficients[c] = at == nullptr ? Pack<T>(T(0)) : Lanes::load(at);
    }
    return v;
  }
  Value load(JetPointer<J> const& p) const { return load(JetPointer<J const>(p)); }
  void store(JetPointer<J> const& p, Value const& v) const {
    for (int c = 0; c < J::size; ++c) {
      if (T* const at = p.plane(c); at != nullptr) Lanes::store(at, v.coefficients[c]);
    }
  }
};

}  // namespace detail

template <class T, int... Orders>
struct AllLanes<Jet<T, Orders...>> : detail::JetLanes<AllLanes<T>, T, Orders...> {};
template <class T, int... Orders>
struct FirstLanes<Jet<T, Orders...>> : detail::JetLanes<FirstLanes<T>, T, Orders...> {
  explicit FirstLanes(int n) : detail::JetLanes<FirstLanes<T>, T, Orders...>{FirstLanes<T>{n}} {}
};

}  // namespace attn
