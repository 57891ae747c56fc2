/// Communicator: what data-parallel training asks of the processes that share a run; and the model of it for a process
/// that is alone.
#pragma once

#include "attn/core/concepts.hpp"
#include "attn/core/tensor.hpp"

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace attn::train {

/// Ranks 0, 1, ... of one run. All of them call the same functions in the same order.
///
///  1. `c.rank()` < `c.size()`, the number of ranks.
///  2. `c.start(exec, slice)` begins to replace a slice, whose numbers are final when the work on `exec` so far is
///  done,
///     by its sum over ranks. `c.finish(exec)`: work on `exec` from here on sees all sums that were begun; until then
///     the slices belong to `c`. Slices are contiguous, of floats or doubles, in the memory that the model names.
///  3. `c.gather_slices(exec, all)`: `all` is cut into as many stretches as there are ranks (`stretch_of`); each rank
///     has made its own, and gets those of the others.
///  4. `c.sum(numbers)`: a few numbers of the host become their sums over ranks, added in the order of ranks. Waits.
///  5. `c.gather(record)`: the records of all ranks, in their order. Waits.
///  6. `c.barrier()` waits until all ranks have come to it.
///  7. The sums of all ranks have the same bits, and the same from run to run unless the model says otherwise.
///  8. What cannot be done is an `attn::Error` of one sentence; after it every call is refused.
template <class C, class Exec, class T>
concept Communicator = requires(C& c, C const& constant, Exec const& exec,
                                Tensor<T, 1, typename Exec::memory_space> const& slice, std::span<double> numbers,
                                std::string const& record) {
  { constant.rank() } -> std::same_as<int>;
  { constant.size() } -> std::same_as<int>;
  c.start(exec, slice);
  c.finish(exec);
  c.gather_slices(exec, slice);
  c.sum(numbers);
  { c.gather(record) } -> std::same_as<std::vector<std::string>>;
  c.barrier();
};

/// A stretch [first, last) of a flat buffer.
struct Stretch {
  Index first = 0;
  Index last = 0;

  Index extent() const { return last - first; }
};

/// The stretch of `rank` among `size` of a buffer of `extent` numbers; between stretches lie multiples of `granule`.
inline Stretch stretch_of(Index extent, int rank, int size, Index granule = 16) {
  Index const granules = (extent + granule - 1) / granule;
  auto const cut = [&](int r) { return std::min(extent, granules * r / size * granule); };
  return {cut(rank), cut(rank + 1)};
}

/// A process that is alone: nothing to be done.
class SingleProcess {
 public:
  static constexpr int rank() { return 0; }
  static constexpr int size() { return 1; }
  template <class Exec, class Slice>
  void start(Exec const&, Slice const&) {}
  template <class Exec>
  void finish(Exec const&) {}
  template <class Exec, class Slice>
  void gather_slices(Exec const&, Slice const&) {}
  void sum(std::span<double>) {}
  std::vector<std::string> gather(std::string const& record) { return {record}; }
  void barrier() {}
};

}  // namespace attn::train
