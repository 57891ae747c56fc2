/// Tensor: a strided array of scalars that somebody else owns; what kernels and modules pass to one another.
///
/// A Kokkos view of the same rank converts to a `Tensor` implicitly, whatever its layout, and `view()` goes back.
/// Copying a tensor copies a pointer and its shape, never the elements.
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/concepts.hpp"

#include <type_traits>

namespace attn {

/// The sizes of a tensor, in the order of its indices.
template <int Rank>
using Extents = Kokkos::Array<Index, Rank>;

namespace detail {

template <class T, int Rank>
struct PointerTo {
  using type = typename PointerTo<T, Rank - 1>::type*;
};
template <class T>
struct PointerTo<T, 0> {
  using type = T;
};

template <class V>
inline constexpr int rank_of = int(V::rank());  // nvcc deduces no class from a guide that says this itself

template <int Rank>
ATTN_FUNCTION constexpr Extents<Rank> contiguous_strides(Extents<Rank> const& extents) {
  Extents<Rank> strides{};
  Index step = 1;
  for (int r = Rank - 1; r >= 0; --r) {
    strides[r] = step;
    step *= extents[r];
  }
  return strides;
}

}  // namespace detail

/// A strided array of scalars that somebody else owns: a pointer, extents and strides. Views convert to it.
template <class T, int Rank, class Memory = Kokkos::DefaultExecutionSpace::memory_space>
class Tensor {
 public:
  using Scalar = std::remove_const_t<T>;
  using MemorySpace = Memory;
  using View = Kokkos::View<typename detail::PointerTo<T, Rank>::type, Kokkos::LayoutStride, Memory,
                            Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
  static constexpr int rank = Rank;

  Tensor() = default;

  /// A contiguous tensor: the last extent varies fastest.
  ATTN_FUNCTION constexpr Tensor(T* data, Extents<Rank> const& extents)
      : Tensor(data, extents, detail::contiguous_strides<Rank>(extents)) {}
  ATTN_FUNCTION constexpr Tensor(T* data, Extents<Rank> const& extents, Extents<Rank> const& strides)
      : data_(data), extents_(extents), strides_(strides) {}

  /// A view of the same rank, in memory that `Memory`'s threads reach.
  template <KokkosView V>
  requires(int(V::rank()) == Rank && std::convertible_to<typename V::value_type (*)[], T (*)[]> &&
           std::same_as<typename V::memory_space, Memory>) Tensor(V const& v)
      : data_(v.data()) {
    for (int r = 0; r < Rank; ++r) {
      extents_[r] = static_cast<Index>(v.extent(r));
      strides_[r] = static_cast<Index>(v.stride(r));
    }
  }

  /// A tensor that may be written converts to one that may only be read.
  template <class U>
  requires(!std::same_as<U, T> && std::same_as<U const, T>) ATTN_FUNCTION
      constexpr Tensor(Tensor<U, Rank, Memory> const& t)
      : Tensor(t.data(), t.extents(), t.strides()) {}

  ATTN_FUNCTION constexpr T* data() const { return data_; }
  ATTN_FUNCTION constexpr Index extent(int r) const { return extents_[r]; }
  ATTN_FUNCTION constexpr Index stride(int r) const { return strides_[r]; }
  ATTN_FUNCTION constexpr Extents<Rank> const& extents() const { return extents_; }
  ATTN_FUNCTION constexpr Extents<Rank> const& strides() const { return strides_; }

  /// The number of elements.
  ATTN_FUNCTION constexpr Index size() const {
    Index n = 1;
    for (int r = 0; r < Rank; ++r) n *= extents_[r];
    return n;
  }

  template <class... I>
  requires(sizeof...(I) == Rank) ATTN_FUNCTION constexpr T& operator()(I... indices) const {
    Index offset = 0;
    int r = 0;
    ((offset += static_cast<Index>(indices) * strides_[r++]), ...);
    return data_[offset];
  }

  /// Whether the elements lie one after the other, the last extent fastest. Extents of 1 may have any stride.
  constexpr bool is_contiguous() const {
    Index step = 1;
    for (int r = Rank - 1; r >= 0; --r) {
      if (extents_[r] != 1 && strides_[r] != step) return false;
      step *= extents_[r];
    }
    return true;
  }

  /// The same elements in another shape; this tensor must be contiguous and of the same size.
  template <int NewRank>
  Tensor<T, NewRank, Memory> reshape(Extents<NewRank> const& extents) const {
    Tensor<T, NewRank, Memory> const result(data_, extents);
    ATTN_CHECK(is_contiguous() || size() == 0, "Tensor::reshape: copy the tensor into a contiguous one first");
    ATTN_CHECK(result.size() == size(), "Tensor::reshape: give a shape of ", size(), " elements, not of ",
               result.size());
    return result;
  }

  /// All leading dimensions as rows: (..., C) -> (rows, C); this tensor must be contiguous.
  Tensor<T, 2, Memory> rows() const {
    Index const columns = extents_[Rank - 1];
    Index rows = 1;
    for (int r = 0; r + 1 < Rank; ++r) rows *= extents_[r];
    return reshape<2>({rows, columns});
  }

  /// The part `begin <= i < end` of dimension `r`.
  ATTN_FUNCTION constexpr Tensor slice(int r, Index begin, Index end) const {
    Tensor part = *this;
    part.data_ += begin * strides_[r];
    part.extents_[r] = end - begin;
    return part;
  }

  /// The same elements with dimensions `r` and `s` exchanged.
  ATTN_FUNCTION constexpr Tensor transpose(int r, int s) const {
    Tensor t = *this;
    t.extents_[r] = extents_[s];
    t.extents_[s] = extents_[r];
    t.strides_[r] = strides_[s];
    t.strides_[s] = strides_[r];
    return t;
  }

  /// The Kokkos view of these elements, for deep copies and a user's own kernels.
  View view() const {
    return [this]<std::size_t... R>(std::index_sequence<R...>) {
      Kokkos::LayoutStride layout;
      ((layout.dimension[R] = static_cast<std::size_t>(extents_[R]),
        layout.stride[R] = static_cast<std::size_t>(strides_[R])),
       ...);
      return View(data_, layout);
    }
    (std::make_index_sequence<Rank>());
  }

 private:
  T* data_ = nullptr;
  Extents<Rank> extents_{};
  Extents<Rank> strides_{};
};

template <KokkosView V>
Tensor(V const&) -> Tensor<typename V::value_type, detail::rank_of<V>, typename V::memory_space>;

}  // namespace attn
