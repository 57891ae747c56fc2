/// An array as it is on disk (element type, shape, bytes), and the way from and to Kokkos views.
#pragma once

#include "attn/core/concepts.hpp"
#include "attn/io/dtype.hpp"

#include <array>
#include <cstddef>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace attn::io {

/// The sizes of an array, in the order of its indices.
using Shape = std::vector<std::size_t>;

/// "(3, 4)", for messages.
inline std::string to_string(std::span<std::size_t const> shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + ")";
}

/// The number of elements, or nothing when the number or its bytes are beyond what 64 bits count.
inline std::optional<std::size_t> element_count(std::span<std::size_t const> shape) {
  std::size_t count = 1;
  for (std::size_t const extent : shape) {
    if (extent != 0 && count > std::numeric_limits<std::size_t>::max() / 8 / extent) return std::nullopt;
    count *= extent;
  }
  return count;
}

namespace detail {

/// `count` elements that `fill(T*)` writes. A vector of bool has no elements in memory, so they are written elsewhere.
template <class T, class Fill>
std::vector<T> vector_of(std::size_t count, Fill const& fill) {
  if constexpr (std::is_same_v<T, bool>) {
    std::unique_ptr<bool[]> const values(new bool[count]());
    fill(values.get());
    return std::vector<bool>(values.get(), values.get() + count);
  } else {
    std::vector<T> values(count);
    fill(values.data());
    return values;
  }
}

}  // namespace detail

/// An array in the memory of the host, in C order: the last index varies fastest.
struct Array {
  DType dtype = DType::f32;
  Shape shape;
  std::vector<std::byte> bytes;

  std::size_t size() const { return bytes.size() / size_of(dtype); }

  /// The elements as `T`, converted as `convert` allows.
  template <class T>
  std::vector<T> as() const {
    return detail::vector_of<T>(
        size(), [&](T* values) { convert(bytes.data(), dtype, size(), values, "Array::as: the array"); });
  }
};

namespace detail {

/// Calls `f(offset)` for every element of a strided array, in C order.
template <class F>
void for_each_offset(std::span<std::size_t const> shape, std::span<std::ptrdiff_t const> strides, F const& f) {
  std::size_t const count = std::accumulate(shape.begin(), shape.end(), std::size_t(1), std::multiplies<>());
  std::vector<std::size_t> index(shape.size(), 0);
  std::ptrdiff_t offset = 0;
  for (std::size_t i = 0; i < count; ++i) {
    f(offset);
    for (std::size_t r = shape.size(); r-- > 0;) {  // an odometer: the last digit turns first
      offset += strides[r];
      if (++index[r] < shape[r]) break;
      offset -= strides[r] * static_cast<std::ptrdiff_t>(shape[r]);
      index[r] = 0;
    }
  }
}

template <KokkosView View>
auto shape_of(View const& view) {
  std::array<std::size_t, View::rank()> shape{};
  for (std::size_t r = 0; r < shape.size(); ++r) shape[r] = view.extent(r);
  return shape;
}

template <KokkosView View>
auto strides_of(View const& view) {
  std::array<std::ptrdiff_t, View::rank()> strides{};
  for (std::size_t r = 0; r < strides.size(); ++r) strides[r] = static_cast<std::ptrdiff_t>(view.stride(r));
  return strides;
}

template <class View>
concept HostView = KokkosView<View> &&
    bool(Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename View::memory_space>::accessible);

/// Fills a view that the host reaches from elements in C order. `what` opens the message of an error.
template <HostView View>
void copy_to_view(std::byte const* source, DType type, View const& view, std::string const& what) {
  using T = typename View::non_const_value_type;
  if (view.span_is_contiguous() && std::is_same_v<typename View::array_layout, Kokkos::LayoutRight>) {
    convert(source, type, view.size(), view.data(), what);
    return;
  }
  std::unique_ptr<T[]> const values(new T[view.size()]);
  convert(source, type, view.size(), values.get(), what);
  T const* next = values.get();
  for_each_offset(shape_of(view), strides_of(view), [&](std::ptrdiff_t offset) { view.data()[offset] = *next++; });
}

}  // namespace detail

/// A copy of a view's elements in C order, whatever its layout and memory space.
template <KokkosView View>
Array to_array(View const& view) {
  using T = typename View::non_const_value_type;
  if constexpr (!detail::HostView<View>) {
    return to_array(Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), view));
  } else {
    auto const shape = detail::shape_of(view);
    Array array{dtype_of<T>(), Shape(shape.begin(), shape.end()), std::vector<std::byte>(view.size() * sizeof(T))};
    std::byte* next = array.bytes.data();
    if (view.span_is_contiguous() && std::is_same_v<typename View::array_layout, Kokkos::LayoutRight>) {
      if (!array.bytes.empty()) std::memcpy(next, view.data(), array.bytes.size());
      return array;
    }
    detail::for_each_offset(shape, detail::strides_of(view), [&](std::ptrdiff_t offset) {
      std::memcpy(next, view.data() + offset, sizeof(T));
      next += sizeof(T);
    });
    return array;
  }
}

/// A copy of `values` in the given shape.
template <class T>
Array to_array(std::span<T const> values, Shape shape) {
  ATTN_CHECK(element_count(shape) == values.size(), "to_array: give a shape of ", values.size(), " elements, not ",
             to_string(shape));
  auto const bytes = std::as_bytes(values);
  return {dtype_of<std::remove_cv_t<T>>(), std::move(shape), std::vector<std::byte>(bytes.begin(), bytes.end())};
}
/// An array of a shape with these values.
template <class T>
Array to_array(std::vector<T> const& values, Shape shape) {
  static_assert(!std::is_same_v<T, bool>,
                "to_array: give flags as std::vector<std::uint8_t>, std::vector<bool> has no "
                "elements in memory");
  return to_array(std::span<T const>(values), std::move(shape));
}

/// A new view with the array's elements: `to_view<Kokkos::View<float**, Kokkos::HostSpace>>(array)`. The rank, any
/// static extents, and the type (as `convert` allows) must agree. The view may live on a device.
template <KokkosView View>
View to_view(Array const& array, std::string const& label = "array") {
  static_assert(!std::is_same_v<typename View::array_layout, Kokkos::LayoutStride>,
                "to_view: ask for LayoutRight or LayoutLeft, a strided view has no shape of its own");
  constexpr std::size_t rank = View::rank();
  ATTN_CHECK(array.shape.size() == rank, "to_view: ask for a view of rank ", array.shape.size(), ", not ", rank,
             ", for '", label, "' of shape ", to_string(array.shape));
  typename View::array_layout layout;
  for (std::size_t r = 0; r < rank; ++r) layout.dimension[r] = array.shape[r];
  View view(Kokkos::view_alloc(label, Kokkos::WithoutInitializing), layout);
  auto const shape = detail::shape_of(view);
  ATTN_CHECK(std::equal(shape.begin(), shape.end(), array.shape.begin()), "to_view: the view has shape ",
             to_string(shape), ", but '", label, "' has shape ", to_string(array.shape));
  auto const host = Kokkos::create_mirror_view(view);
  detail::copy_to_view(array.bytes.data(), array.dtype, host, "to_view: '" + label + "'");
  Kokkos::deep_copy(view, host);
  return view;
}

}  // namespace attn::io
