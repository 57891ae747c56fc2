/// Several<T, W>: W neighbouring reals that one thread of a device computes with as one scalar, and SeveralLanes, which
/// load and store them at once.
///
/// What a Pack is to the vector units of a host: elementwise functors and kernels of rows take either. A GPU computes
/// with each number by itself, but a thread that asks for 16 bytes by one instruction has four times as many of them on
/// their way as one that asks for four. (nvcc allows no vector of the compiler's in functions that also run on a host.)
#pragma once

#include "attn/core/concepts.hpp"
#include "attn/core/scalar.hpp"

#include <bit>
#include <cstdint>
#include <type_traits>

namespace attn {

/// W numbers; arithmetic acts on each by itself, in the same operations as on one alone.
template <Real T, int W>
struct Several {
  static constexpr int width = W;

  T numbers[W];

  Several() = default;
  template <class Number>
  requires std::is_arithmetic_v<Number> ATTN_FUNCTION explicit(!std::same_as<Number, T>) Several(Number value) {
    ATTN_UNROLL
    for (T& number : numbers) number = static_cast<T>(value);
  }
  /// f(0), ..., f(W - 1).
  template <class Function>
  static ATTN_FUNCTION Several of(Function const& f) {
    Several r;
    ATTN_UNROLL
    for (int l = 0; l < W; ++l) r.numbers[l] = f(l);
    return r;
  }

  ATTN_FUNCTION T operator[](int l) const { return numbers[l]; }

  ATTN_FUNCTION Several operator-() const {
    return of([&](int l) { return -numbers[l]; });
  }
  ATTN_FUNCTION Several& operator+=(Several const& b) { return *this = *this + b; }
  ATTN_FUNCTION Several& operator-=(Several const& b) { return *this = *this - b; }
  ATTN_FUNCTION Several& operator*=(Several const& b) { return *this = *this * b; }
  ATTN_FUNCTION Several& operator/=(Several const& b) { return *this = *this / b; }
  friend ATTN_FUNCTION Several operator+(Several const& a, Several const& b) {
    return of([&](int l) { return a[l] + b[l]; });
  }
  friend ATTN_FUNCTION Several operator-(Several const& a, Several const& b) {
    return of([&](int l) { return a[l] - b[l]; });
  }
  friend ATTN_FUNCTION Several operator*(Several const& a, Several const& b) {
    return of([&](int l) { return a[l] * b[l]; });
  }
  friend ATTN_FUNCTION Several operator/(Several const& a, Several const& b) {
    return of([&](int l) { return a[l] / b[l]; });
  }
};

template <class T, int W>
struct RealOfTrait<Several<T, W>> {
  using type = T;
};

/// The elementary functions, number by number.
template <class T, int W>
struct Math<Several<T, W>> {
  using S = Several<T, W>;
  using M = Math<T>;
  // clang-format off
  static ATTN_FUNCTION S max(S const& a, S const& b) { return S::of([&](int l) { return M::max(a[l], b[l]); }); }
  static ATTN_FUNCTION S min(S const& a, S const& b) { return S::of([&](int l) { return M::min(a[l], b[l]); }); }
  static ATTN_FUNCTION S larger_number(S const& a, S const& b) { return S::of([&](int l) { return M::larger_number(a[l], b[l]); }); }
  static ATTN_FUNCTION S where_largest(S const& a, S const& b, S const& yes, S const& no) { return S::of([&](int l) { return M::where_largest(a[l], b[l], yes[l], no[l]); }); }
  static ATTN_FUNCTION S where_greater(S const& a, S const& b, S const& yes, S const& no) { return S::of([&](int l) { return M::where_greater(a[l], b[l], yes[l], no[l]); }); }
  static ATTN_FUNCTION S abs(S const& a) { return S::of([&](int l) { return M::abs(a[l]); }); }
  static ATTN_FUNCTION S exp(S const& a) { return S::of([&](int l) { return M::exp(a[l]); }); }
  static ATTN_FUNCTION S exp_nonpositive(S const& a) { return S::of([&](int l) { return attn::exp_nonpositive(a[l]); }); }
  static ATTN_FUNCTION S log(S const& a) { return S::of([&](int l) { return M::log(a[l]); }); }
  static ATTN_FUNCTION S sqrt(S const& a) { return S::of([&](int l) { return M::sqrt(a[l]); }); }
  static ATTN_FUNCTION S sin(S const& a) { return S::of([&](int l) { return M::sin(a[l]); }); }
  static ATTN_FUNCTION S cos(S const& a) { return S::of([&](int l) { return M::cos(a[l]); }); }
  static ATTN_FUNCTION S tanh(S const& a) { return S::of([&](int l) { return M::tanh(a[l]); }); }
  static ATTN_FUNCTION S erf(S const& a) { return S::of([&](int l) { return M::erf(a[l]); }); }
  // clang-format on
};

namespace detail {

/// What one instruction loads or stores, of whatever type it is; its bytes are a power of two from 1 to 16.
template <int bytes>
struct [[gnu::may_alias]] alignas(bytes) Chunk {
  using Word = std::conditional_t<bytes % 4 == 0, std::uint32_t,
                                  std::conditional_t<bytes % 2 == 0, std::uint16_t, std::uint8_t>>;
  Word words[bytes / int(sizeof(Word))];
};

/// W numbers of memory, and how they are moved.
template <class Stored, int W>
struct Stretch {
  static constexpr int bytes = W * int(sizeof(Stored)), of_chunk = bytes < 16 ? bytes : 16, chunks = bytes / of_chunk;
  static_assert(chunks * of_chunk == bytes && (of_chunk & (of_chunk - 1)) == 0);

  Stored numbers[W];

  static ATTN_FUNCTION bool begins_well(Stored const* p) { return std::uintptr_t(p) % of_chunk == 0; }
  static ATTN_FUNCTION Stretch load(Stored const* p) {
    InChunks all;
    ATTN_UNROLL
    for (int c = 0; c < chunks; ++c) all.chunk[c] = reinterpret_cast<Chunk<of_chunk> const*>(p)[c];
    return std::bit_cast<Stretch>(all);
  }
  ATTN_FUNCTION void store(Stored* p) const {
    InChunks const all = std::bit_cast<InChunks>(*this);
    ATTN_UNROLL
    for (int c = 0; c < chunks; ++c) reinterpret_cast<Chunk<of_chunk>*>(p)[c] = all.chunk[c];
  }

 private:
  struct InChunks {
    Chunk<of_chunk> chunk[chunks];
  };
};

}  // namespace detail

/// The first `n` of W neighbouring numbers of a row: what a thread of a device works on. All W, in memory that begins
/// at a multiple of 16 bytes (or of as many as they have), move by instructions of 16 bytes; the end of a row, and rows
/// that begin elsewhere, number by number. Idle lanes load zeros.
template <Real T, int W>
struct SeveralLanes {
  using Value = Several<T, W>;
  int n;

  template <class Stored>
  ATTN_FUNCTION Value load(Stored const* p) const {
    using Stretch = detail::Stretch<Stored, W>;
    if (n == W && Stretch::begins_well(p)) {
      Stretch const all = Stretch::load(p);
      return Value::of([&](int l) { return static_cast<T>(all.numbers[l]); });
    }
    return generate([&](int l) { return static_cast<T>(p[l]); });
  }
  template <class Stored>
  ATTN_FUNCTION void store(Stored* p, Value const& value) const {
    using Stretch = detail::Stretch<Stored, W>;
    if (n == W && Stretch::begins_well(p)) {
      Stretch all;
      ATTN_UNROLL
      for (int l = 0; l < W; ++l) all.numbers[l] = static_cast<Stored>(value[l]);
      all.store(p);
    } else {
      ATTN_UNROLL
      for (int l = 0; l < W; ++l) {
        if (l < n) p[l] = static_cast<Stored>(value[l]);
      }
    }
  }
  ATTN_FUNCTION Value select(Value const& value, Value const& idle) const {
    return Value::of([&](int l) { return l < n ? value[l] : idle[l]; });
  }
  template <class Function>
  ATTN_FUNCTION Value generate(Function const& f) const {
    return Value::of([&](int l) { return l < n ? T(f(l)) : T(0); });
  }
  static ATTN_FUNCTION Value numbers(Index first) {
    return Value::of([&](int l) { return T(l) + T(first); });
  }
};

}  // namespace attn
