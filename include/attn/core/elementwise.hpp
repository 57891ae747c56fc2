/// Elementwise work: one functor over the rows and columns of matrices, in vector lanes on a host, and on a device as
/// many numbers a thread as have 16 bytes.
///
/// A functor is a named type with a template `operator()(lanes, row, column)`. It loads and stores its operands itself,
/// `lanes.width` of them from `column` on, all in the same row:
///
///     struct AddBias {
///       float* y; float const* bias; attn::Index stride;
///       template <class Lanes>
///       ATTN_FUNCTION void operator()(Lanes lanes, attn::Index row, attn::Index column) const {
///         float* const at = y + row * stride + column;
///         lanes.store(at, lanes.load(at) + lanes.load(bias + column));
///       }
///     };
///
/// A tail narrower than a vector is a vector with idle lanes, so an element gets the same bits wherever it lies. Lanes
/// of `float` also load and store numbers of two bytes: a functor whose `y` is a BFloat16* rounds what it stores.
#pragma once

#include "attn/core/concepts.hpp"
#include "attn/core/launch.hpp"
#include "attn/core/pack.hpp"
#include "attn/core/several.hpp"

#include <algorithm>

namespace attn {

/// One scalar at a time: where there are no vectors, and on a device where a scalar is more than a number.
template <class T>
struct OneLane {
  using Value = T;
  template <class Stored>
  static ATTN_FUNCTION T load(Stored const* p) {
    return static_cast<T>(*p);
  }
  template <class Stored>
  static ATTN_FUNCTION void store(Stored* p, T value) {
    *p = static_cast<Stored>(value);
  }
  /// `value` in the lanes that work, `idle` in the others.
  static ATTN_FUNCTION T select(T value, T) { return value; }
  /// f(0), f(1), ... in the lanes that work.
  template <class Function>
  static ATTN_FUNCTION T generate(Function const& f) {
    return f(0);
  }
  /// first, first + 1, ...: in single precision exact up to 2^24.
  static ATTN_FUNCTION T numbers(Index first) { return T(first); }
};

/// A full vector of the host. `T` is a real, or a jet (core/jet_tensor.hpp).
template <class T>
struct AllLanes {
  using Value = Pack<T>;
  static Value load(T const* p) { return Value::load(p); }
  static void store(T* p, Value value) { value.store(p); }
  template <class Stored>
  static Value load(Stored const* p) {
    if constexpr (Real<Stored>) {
      return Value::load(p);
    } else {
      return generate([&](int lane) { return static_cast<T>(p[lane]); });
    }
  }
  template <class Stored>
  static void store(Stored* p, Value value) {
    for (int lane = 0; lane < Value::width; ++lane) p[lane] = static_cast<Stored>(value[lane]);
  }
  static Value select(Value value, Value) { return value; }
  template <class Function>
  static Value generate(Function const& f) {
    Value result;
    for (int lane = 0; lane < Value::width; ++lane) result.lanes[lane] = f(lane);
    return result;
  }
  static Value numbers(Index first) {
    Value result;
#pragma GCC unroll 64
    for (int lane = 0; lane < Value::width; ++lane) result.lanes[lane] = RealOf<T>(lane);
    return result + Value(RealOf<T>(first));
  }
};

/// The first `n` lanes of a vector: the end of a row.
template <class T>
struct FirstLanes {
  using Value = Pack<T>;
  int n;
  Value load(T const* p) const { return Value::load(p, n); }
  void store(T* p, Value value) const { value.store(p, n); }
  template <class Stored>
  Value load(Stored const* p) const {
    return generate([&](int lane) { return static_cast<T>(p[lane]); });
  }
  template <class Stored>
  void store(Stored* p, Value value) const {
    for (int lane = 0; lane < n; ++lane) p[lane] = static_cast<Stored>(value[lane]);
  }
  Value select(Value value, Value idle) const {
    value.store(reinterpret_cast<T*>(&idle), n);
    return idle;
  }
  template <class Function>
  Value generate(Function const& f) const {
    Value result(T(0));
    for (int lane = 0; lane < n; ++lane) result.lanes[lane] = f(lane);
    return result;
  }
  static Value numbers(Index first) { return AllLanes<T>::numbers(first); }
};

/// How many neighbouring numbers stored as `T` a thread of a device takes: 16 bytes of them; of jets, one.
template <class T>
inline constexpr int device_width = Real<AccumulatorOf<T>> ? 16 / int(sizeof(T)) : 1;

/// The lanes of a device's thread that has the first `left` of its numbers to do, or all.
template <class T>
ATTN_FUNCTION auto device_lanes(Index left) {
  using S = AccumulatorOf<T>;
  constexpr int width = device_width<T>;
  if constexpr (Real<S>) {
    return SeveralLanes<S, width>{left < width ? int(left) : width};
  } else {
    return OneLane<S>{};
  }
}

/// The lanes of host kernels: full vectors, or single numbers where the compiler has no packs.
template <class T>
using HostLanes = std::conditional_t<has_packs, AllLanes<T>, OneLane<T>>;

/// `on` where the column is `index`, `off` elsewhere: a row of a unit matrix, a label as a target.
template <class Lanes, class R = RealOf<typename Lanes::Value>>
ATTN_FUNCTION typename Lanes::Value one_hot(Lanes lanes, Index column, Index index, std::type_identity_t<R> on,
                                            std::type_identity_t<R> off) {
  using Value = typename Lanes::Value;
  return attn::where_greater(Value(R(0.5)), attn::abs(lanes.numbers(column - index)), Value(on), Value(off));
}

/// Calls body(lanes, i) for vectors that cover begin <= i < end. Host code.
template <class T, class Body>
inline void for_lanes(Index begin, Index end, Body const& body) {
  if constexpr (has_packs) {
    constexpr Index width = Pack<RealOf<T>>::width;
    Index i = begin;
    for (; i + width <= end; i += width) body(AllLanes<T>{}, i);
    if (i < end) body(FirstLanes<T>{static_cast<int>(end - i)}, i);
  } else {
    for (Index i = begin; i < end; ++i) body(OneLane<T>{}, i);
  }
}

/// Runs body(block) for 0 <= block < n on the threads of a host space. A single block runs at once in the caller: a
/// parallel region costs about a microsecond.
template <HostExecutionSpace Exec, class Body>
void for_blocks(Exec const& exec, char const* name, Index n, Body const& body) {
  if (n == 1) {
    exec.fence(name);  // blocks of asynchronous host spaces stay in order
    body(Index(0));
  } else if (n > 1) {
    using Policy = Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>, Kokkos::Schedule<Kokkos::Dynamic>>;
    Kokkos::parallel_for(name, Policy(exec, 0, n, Kokkos::ChunkSize(1)), body);
  }
}

namespace detail {

/// Elements of a block: some microseconds of work at least, and where there is enough, long stretches of memory.
template <HostExecutionSpace Exec>
Index elementwise_grain(Exec const& exec, Index elements) {
  return std::clamp(elements / (4 * Index(exec.concurrency())), Index(8192), Index(131072));
}

/// What one thread of a device does: neighbours in one row.
template <class T, class Functor>
struct NeighboursInRow {
  static constexpr Index width = device_width<T>;
  Functor functor;
  Index columns, across;  // numbers of a row, and threads

  NeighboursInRow(Functor const& f, Index n) : functor(f), columns(n), across((n + width - 1) / width) {}

  Index threads(Index rows) const { return rows * across; }
  ATTN_FUNCTION void operator()(Index i) const {
    Index const column = i % across * width;
    functor(device_lanes<T>(columns - column), i / across, column);
  }
};

}  // namespace detail

/// Applies `functor` to all elements of a matrix of rows x columns whose scalar is `T`; in lanes of `float` where that
/// is a number of two bytes.
template <class T, ExecutionSpace Exec, class Functor>
void elementwise(Exec const& exec, char const* name, Index rows, Index columns, Functor const& functor) {
  if (rows <= 0 || columns <= 0) return;
  if constexpr (HostExecutionSpace<Exec>) {
    using Lane = AccumulatorOf<T>;
    // A long row is cut into blocks of columns, short ones are put together.
    Index const grain = detail::elementwise_grain(exec, rows * columns), width = std::min(columns, grain);
    Index const height = std::clamp(grain / width, Index(1), rows);
    Index const across = (columns + width - 1) / width;
    Index const down = (rows + height - 1) / height;
    auto const block = [=](Index b) {
      Index const first_row = b / across * height, first_column = b % across * width;
      Index const last_column = std::min(columns, first_column + width);
      for (Index row = first_row; row < std::min(rows, first_row + height); ++row) {
        for_lanes<Lane>(first_column, last_column, [&](auto lanes, Index column) { functor(lanes, row, column); });
      }
    };
    for_blocks(exec, name, across * down, block);
  } else {
    detail::NeighboursInRow<T, Functor> const kernel(functor, columns);
    launch(name, Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, kernel.threads(rows)), kernel);
  }
}

}  // namespace attn
