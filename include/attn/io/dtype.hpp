/// Element types of arrays on disk, and how their bytes become numbers.
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/narrow.hpp"

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

namespace attn::io {

static_assert(std::endian::native == std::endian::little,
              "attn::io: arrays on disk are little-endian, so must the host be");

/// Element types, with the bit layouts of numpy and safetensors. `bf16` is the upper half of a `f32`.
enum class DType : std::uint8_t { boolean, u8, i8, u16, i16, u32, i32, u64, i64, f16, bf16, f32, f64 };

/// Bytes of one element.
constexpr std::size_t size_of(DType type) {
  constexpr std::size_t sizes[] = {1, 1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8};
  return sizes[static_cast<int>(type)];
}

/// Whether a type of elements has a fraction.
constexpr bool is_floating(DType type) { return type >= DType::f16; }

/// The name of a type in safetensors files, also used in messages.
constexpr char const* name_of(DType type) {
  constexpr char const* names[] = {"BOOL", "U8",  "I8",  "U16",  "I16", "U32", "I32",
                                   "U64",  "I64", "F16", "BF16", "F32", "F64"};
  return names[static_cast<int>(type)];
}

/// The element type of a C++ scalar.
template <class T>
requires std::is_arithmetic_v<T>
constexpr DType dtype_of() {
  if constexpr (std::same_as<T, bool>) {
    return DType::boolean;
  } else if constexpr (std::floating_point<T>) {
    static_assert(sizeof(T) <= 8, "dtype_of: use float or double");
    return sizeof(T) == 4 ? DType::f32 : DType::f64;
  } else {
    constexpr DType unsigned_types[] = {DType::u8, DType::u16, DType::u32, DType::u64};
    constexpr DType signed_types[] = {DType::i8, DType::i16, DType::i32, DType::i64};
    constexpr int log_size = std::bit_width(sizeof(T)) - 1;
    return std::is_signed_v<T> ? signed_types[log_size] : unsigned_types[log_size];
  }
}

namespace detail {

/// Calls `f(S{})` with the C++ type whose bytes `type` has; both halves come as std::uint16_t.
template <class F>
decltype(auto) with_storage(DType type, F&& f) {
  switch (type) {
    case DType::boolean:
    case DType::u8:
      return f(std::uint8_t{});
    case DType::i8:
      return f(std::int8_t{});
    case DType::f16:
    case DType::bf16:
    case DType::u16:
      return f(std::uint16_t{});
    case DType::i16:
      return f(std::int16_t{});
    case DType::u32:
      return f(std::uint32_t{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::u64:
      return f(std::uint64_t{});
    case DType::i64:
      return f(std::int64_t{});
    case DType::f32:
      return f(float{});
    case DType::f64:
      break;
  }
  return f(double{});
}

template <class T>
constexpr bool holds(auto value) {
  if constexpr (std::same_as<T, bool>) {
    return value == 0 || value == 1;
  } else {
    return std::in_range<T>(value);
  }
}

}  // namespace detail

/// Converts `count` elements at `source` (any alignment) to `T`. Floating-point types convert to one another, and
/// integers to integers that can hold every value; a floating-point number is never read as an integer or the other
/// way round. `what` opens the message of an error.
template <class T>
requires std::is_arithmetic_v<T>
void convert(std::byte const* source, DType type, std::size_t count, T* destination, std::string const& what) {
  ATTN_CHECK(std::floating_point<T> == is_floating(type), what, " has type ", name_of(type), ", but ",
             std::floating_point<T> ? "floating-point numbers are" : "integers are", " needed (",
             name_of(dtype_of<T>()), ")");
  if (type == dtype_of<T>() && type != DType::boolean) {
    if (count > 0) std::memcpy(destination, source, count * sizeof(T));
    return;
  }
  detail::with_storage(type, [&]<class S>(S) {
    for (std::size_t i = 0; i < count; ++i) {
      S value;
      std::memcpy(&value, source + i * sizeof(S), sizeof(S));
      if constexpr (std::floating_point<T>) {
        if constexpr (std::same_as<S, std::uint16_t>) {
          destination[i] = type == DType::f16 ? static_cast<T>(std::bit_cast<Float16>(value))
                                              : static_cast<T>(std::bit_cast<BFloat16>(value));
        } else {
          destination[i] = static_cast<T>(value);
        }
      } else if constexpr (std::integral<S>) {
        ATTN_CHECK(detail::holds<T>(value), what, " holds ", +value, " at element ", i, ", which does not fit ",
                   name_of(dtype_of<T>()));
        destination[i] = static_cast<T>(value);  // NOLINT(bugprone-signed-char-misuse): int8_t is a number here
      }
    }
  });
}

}  // namespace attn::io
