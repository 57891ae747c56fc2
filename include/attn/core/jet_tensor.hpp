/// Tensors of jets: one plane of reals for each coefficient that is kept.
///
/// Because coefficients lie in planes, a linear map acts on a tensor of jets as on a tall matrix of reals: see
/// `real_rows`. Elements are read and written whole, as jets, through references that gather the coefficients.
///
/// A tensor need not keep all coefficients. With u, u_x and u_t wanted but not u_xt, `Jet<T, 1, 1>` keeps three planes;
/// what is not kept reads as zero. That is exact, in values and in adjoints, as long as the kept set holds every
/// coefficient that divides one of it: the others form an ideal.
///
/// Adjoints are jets with reversed coefficients: the adjoint of coefficient c is coefficient (top - c). In memory it
/// lies in the plane of c, so that linear maps and sums over rows know nothing of it: `planes.adjoint()` is the same
/// memory read in reverse.
#pragma once

#include "attn/core/elementwise.hpp"
#include "attn/core/jet.hpp"
#include "attn/core/tensor.hpp"

#include <bitset>

namespace attn {

template <class T>
inline constexpr bool is_jet = false;
template <class T, int... Orders>
inline constexpr bool is_jet<Jet<T, Orders...>> = true;
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
template <class T>
struct PlanesOfTrait {
  using type = NoPlanes;
};
template <class T, int... Orders>
struct PlanesOfTrait<Jet<T, Orders...>> {
  using type = JetPlanes<Jet<T, Orders...>>;
};
template <class T>
using PlanesOf = typename PlanesOfTrait<std::remove_const_t<T>>::type;

/// Points to a jet whose coefficients lie apart. J may be const.
template <class J>
class JetPointer {
 public:
  using Value = std::remove_const_t<J>;
  using Element = std::conditional_t<std::is_const_v<J>, RealOf<Value> const, RealOf<Value>>;

  class Reference {
   public:
    ATTN_FUNCTION explicit Reference(JetPointer const& p) : p_(p) {}
    ATTN_FUNCTION operator Value() const { return p_.load(); }
    ATTN_FUNCTION Reference const& operator=(Value const& v) const {
      p_.store(v);
      return *this;
    }
    ATTN_FUNCTION Reference const& operator=(Reference const& other) const { return *this = Value(other); }
    ATTN_FUNCTION Reference const& operator+=(Value const& v) const { return *this = Value(*this) + v; }

   private:
    JetPointer p_;
  };

  JetPointer() = default;
  ATTN_FUNCTION JetPointer(std::nullptr_t) {}
  ATTN_FUNCTION JetPointer(Element* first, Index plane_stride, JetPlanes<Value> const& planes, Index step = 1)
      : first_(first), plane_stride_(plane_stride), step_(step), planes_(planes) {}
  template <class U>
  requires(!std::same_as<U, J> && std::same_as<U const, J>) ATTN_FUNCTION JetPointer(JetPointer<U> const& p)
      : JetPointer(p.first(), p.plane_stride(), p.planes(), p.step()) {}

  ATTN_FUNCTION Element* first() const { return first_; }
  ATTN_FUNCTION Index plane_stride() const { return plane_stride_; }
  /// Reals from one jet to the next: 1 in planes.
  ATTN_FUNCTION Index step() const { return step_; }
  ATTN_FUNCTION JetPlanes<Value> const& planes() const { return planes_; }
  /// The plane of one coefficient; null where it is not kept.
  ATTN_FUNCTION Element* plane(int coefficient) const {
    return planes_[coefficient] < 0 ? nullptr : first_ + planes_[coefficient] * plane_stride_;
  }

  ATTN_FUNCTION Value load() const {
    Value v;
    for (int c = 0; c < Value::size; ++c) {
      Element* const p = plane(c);
      v.coefficients[c] = p == nullptr ? RealOf<Value>(0) : *p;
    }
    return v;
  }
  ATTN_FUNCTION void store(Value const& v) const {
    for (int c = 0; c < Value::size; ++c) {
      if (Element* const p = plane(c); p != nullptr) *p = v.coefficients[c];
    }
  }

  friend ATTN_FUNCTION JetPointer operator+(JetPointer p, Index offset) {
    p.first_ += offset * p.step_;
    return p;
  }
  ATTN_FUNCTION Reference operator[](Index offset) const { return Reference(*this + offset); }
  ATTN_FUNCTION Reference operator*() const { return Reference(*this); }
  friend ATTN_FUNCTION bool operator==(JetPointer const& p, std::nullptr_t) { return p.first_ == nullptr; }

 private:
  Element* first_ = nullptr;
  Index plane_stride_ = 0;
  Index step_ = 1;
  JetPlanes<Value> planes_;
};

/// See `Tensor`: the same members. Strides count jets. Besides planes, an array of whole jets makes a tensor, for users
/// and tests; modules want planes.
template <class T, int Rank, class Memory>
requires AnyJet<std::remove_const_t<T>>
class Tensor<T, Rank, Memory> {
 public:
  using Scalar = std::remove_const_t<T>;
  using MemorySpace = Memory;
  using Real = RealOf<Scalar>;
  using Element = typename JetPointer<T>::Element;
  using Planes = JetPlanes<Scalar>;
  static constexpr int rank = Rank;

  Tensor() = default;

  /// `planes.count` contiguous planes, one behind the other.
  ATTN_FUNCTION constexpr Tensor(Element* first, Extents<Rank> const& extents, Planes const& planes)
      : shape_(first, extents), plane_stride_(shape_.size()), planes_(planes) {}
  ATTN_FUNCTION constexpr Tensor(Tensor<Element, Rank, Memory> const& first_plane, Index plane_stride,
                                 Planes const& planes, Index step = 1)
      : shape_(first_plane), plane_stride_(plane_stride), step_(step), planes_(planes) {}
  /// An array of jets, contiguous or with the given strides.
  Tensor(T* jets, Extents<Rank> const& extents) : Tensor(jets, extents, detail::contiguous_strides<Rank>(extents)) {}
  Tensor(T* jets, Extents<Rank> const& extents, Extents<Rank> const& strides)
      : shape_(reinterpret_cast<Element*>(jets), extents, strides), plane_stride_(1), step_(Scalar::size) {}
  /// A view of whole jets, of the same rank.
  template <KokkosView V>
  requires(int(V::rank()) == Rank && std::convertible_to<typename V::value_type (*)[], T (*)[]> &&
           std::same_as<typename V::memory_space, Memory>) Tensor(V const& v)
      : Tensor(v.data(), extents_of(v), strides_of(v)) {}
  template <class U>
  requires(!std::same_as<U, T> && std::same_as<U const, T>) ATTN_FUNCTION
      constexpr Tensor(Tensor<U, Rank, Memory> const& t)
      : Tensor(Tensor<Element, Rank, Memory>(t.first_plane()), t.plane_stride(), t.planes(), t.step()) {}

  ATTN_FUNCTION constexpr JetPointer<T> data() const { return {shape_.data(), plane_stride_, planes_, step_}; }
  ATTN_FUNCTION constexpr Index extent(int r) const { return shape_.extent(r); }
  ATTN_FUNCTION constexpr Index stride(int r) const { return shape_.stride(r); }
  ATTN_FUNCTION constexpr Extents<Rank> const& extents() const { return shape_.extents(); }
  ATTN_FUNCTION constexpr Extents<Rank> const& strides() const { return shape_.strides(); }
  ATTN_FUNCTION constexpr Index size() const { return shape_.size(); }

  ATTN_FUNCTION constexpr Planes const& planes() const { return planes_; }
  ATTN_FUNCTION constexpr Index plane_stride() const { return plane_stride_; }
  ATTN_FUNCTION constexpr Index step() const { return step_; }
  ATTN_FUNCTION constexpr Tensor<Element, Rank, Memory> const& first_plane() const { return shape_; }
  /// Plane number `number`: the values are in plane 0 (of adjoints: the gradients of values).
  ATTN_FUNCTION constexpr Tensor<Element, Rank, Memory> plane(int number) const {
    return {shape_.data() + number * plane_stride_, shape_.extents(), shape_.strides()};
  }
  /// The same memory as adjoints of these jets, or back.
  ATTN_FUNCTION constexpr Tensor adjoint() const { return {shape_, plane_stride_, planes_.adjoint(), step_}; }

  template <class... I>
  requires(sizeof...(I) == Rank) ATTN_FUNCTION constexpr typename JetPointer<T>::Reference operator()(
      I... indices) const {
    Index offset = 0;
    int r = 0;
    ((offset += static_cast<Index>(indices) * shape_.stride(r++)), ...);
    return data()[offset];
  }

  /// Whether the planes are contiguous.
  constexpr bool is_contiguous() const { return step_ == 1 && shape_.is_contiguous(); }

  template <int NewRank>
  Tensor<T, NewRank, Memory> reshape(Extents<NewRank> const& extents) const {
    return {shape_.template reshape<NewRank>(extents), plane_stride_, planes_, step_};
  }
  Tensor<T, 2, Memory> rows() const { return {shape_.rows(), plane_stride_, planes_, step_}; }
  ATTN_FUNCTION constexpr Tensor slice(int r, Index begin, Index end) const {
    Tensor part = *this;
    part.shape_ = {shape_.data() + begin * shape_.stride(r) * step_, shape_.slice(r, begin, end).extents(),
                   shape_.strides()};
    return part;
  }
  ATTN_FUNCTION constexpr Tensor transpose(int r, int s) const {
    return {shape_.transpose(r, s), plane_stride_, planes_, step_};
  }

 private:
  template <class V>
  static Extents<Rank> extents_of(V const& v) {
    Extents<Rank> extents{};
    for (int r = 0; r < Rank; ++r) extents[r] = static_cast<Index>(v.extent(r));
    return extents;
  }
  template <class V>
  static Extents<Rank> strides_of(V const& v) {
    Extents<Rank> strides{};
    for (int r = 0; r < Rank; ++r) strides[r] = static_cast<Index>(v.stride(r));
    return strides;
  }

  Tensor<Element, Rank, Memory> shape_;  // its strides count jets
  Index plane_stride_ = 0;
  Index step_ = 1;
  Planes planes_;
};

/// A matrix as a real linear map along its rows sees it: x (rows, C) itself, and for jets all planes, one behind the
/// other: (planes x rows, C).
template <class T, class Memory>
Tensor<T, 2, Memory> real_rows(Tensor<T, 2, Memory> const& x) {
  return x;
}
template <class T, class Memory>
requires AnyJet<std::remove_const_t<T>>
auto real_rows(Tensor<T, 2, Memory> const& x) {
  ATTN_CHECK(x.step() == 1 && x.plane_stride() == x.extent(0) * x.stride(0),
             "real_rows: give jets whose planes lie one behind the other");
  return Tensor<typename Tensor<T, 2, Memory>::Element, 2, Memory>(
      x.first_plane().data(), {x.planes().count * x.extent(0), x.extent(1)}, x.strides());
}

/// The rows that carry values (of adjoints: their gradients): what a real constant is added to, and what its gradient
/// sums over. Plane 0, so they come first in `real_rows`.
template <class T, class Memory>
Tensor<T, 2, Memory> value_rows(Tensor<T, 2, Memory> const& x) {
  return x;
}
template <class T, class Memory>
requires AnyJet<std::remove_const_t<T>>
auto value_rows(Tensor<T, 2, Memory> const& x) { return x.first_plane(); }

/// Where elements of a tensor of `T` begin: what kernels keep, `Pointer<T const> x = tensor.data()`.
template <class T>
struct PointerTrait {
  using type = T*;
};
template <class T>
requires AnyJet<std::remove_const_t<T>>
struct PointerTrait<T> {
  using type = JetPointer<T>;
};
template <class T>
using Pointer = typename PointerTrait<T>::type;

// Elementwise work on jets: vectors of the host hold a coefficient of many elements. Reals (parameters) load as reals.

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
