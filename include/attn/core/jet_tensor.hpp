/// Tensors of jets: one plane of reals for each coefficient that is kept.
///
///     jets x (rows, C), value and one derivative        memory: plane 0, the values (rows, C),
///                                                               plane 1, the derivatives (rows, C)
///
/// A linear map acts on each coefficient alone, hence on a tensor of jets as on one tall matrix of reals,
/// (planes x rows, C): see `real_rows`. Code that multiplies jets reads and writes whole elements
/// (core/jet_pointer.hpp).
///
/// In a backward pass the gradient of coefficient c is stored in the plane of c, so linear maps and sums over rows
/// treat gradients as they treat values. To multiply gradients as jets, their coefficients must come in reverse order:
/// the gradient of coefficient c is coefficient (last - c) of the adjoint jet (docs/jets.md). `x.adjoint()` is the same
/// memory, read in that order.
#pragma once

#include "attn/core/jet_lanes.hpp"
#include "attn/core/tensor.hpp"

namespace attn {

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
/// The same of jets.
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
/// The same of jets.
template <class T, class Memory>
requires AnyJet<std::remove_const_t<T>>
auto value_rows(Tensor<T, 2, Memory> const& x) { return x.first_plane(); }

}  // namespace attn
