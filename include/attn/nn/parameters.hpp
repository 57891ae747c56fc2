/// Parameters: the numbers that a model keeps, in one memory space.
///
/// All parameters of a model lie in one flat array, their gradients in another of the same layout, and its buffers in a
/// third, so an optimizer is one kernel and a checkpoint one loop. Memory comes at first use.
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/nn/registry.hpp"

#include <concepts>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace attn::nn {

/// The values and gradients of registered parameters, and the values of buffers, in one memory space.
///
/// Initial values depend on (key, name, index) alone, not on the order of registration or the number of threads.
template <Real T, class Memory>
class Parameters : public ParameterRegistry {
 public:
  using Scalar = T;
  using MemorySpace = Memory;

  /// Told the offset of a parameter whenever a module asks where its gradient lies, to change it. For those who want to
  /// know how far a backward pass is (train/distributed).
  std::function<void(Index offset)> on_gradient = nullptr;

  explicit Parameters(RandomKey key = {}) : key_(key) {}
  Parameters(Parameters const&) = delete;
  Parameters& operator=(Parameters const&) = delete;

  /// All values: (extent()).
  Tensor<T, 1, Memory> values() {
    if (Index(values_.extent(0)) < extent()) grow(values_, "attn::Parameters::values", extent(), entries());
    return values_;
  }

  /// All gradients: (extent()). Zero at first.
  Tensor<T, 1, Memory> gradients() {
    if (Index(gradients_.extent(0)) < extent()) {
      gradients_ = enlarged(gradients_, "attn::Parameters::gradients", extent());
    }
    return gradients_;
  }

  /// All buffers: (buffer_extent()).
  Tensor<T, 1, Memory> buffers() {
    if (Index(buffers_.extent(0)) < buffer_extent()) {
      grow(buffers_, "attn::Parameters::buffers", buffer_extent(), buffer_entries());
    }
    return buffers_;
  }

  template <int Rank>
  Tensor<T, Rank, Memory> value(Parameter<Rank> const& p) {
    return {values().data() + p.offset, p.shape};
  }
  template <int Rank>
  Tensor<T, Rank, Memory> gradient(Parameter<Rank> const& p) {
    if (on_gradient) on_gradient(p.offset);
    return {gradients().data() + p.offset, p.shape};
  }
  template <int Rank>
  Tensor<T, Rank, Memory> buffer(Buffer<Rank> const& b) {
    return {buffers().data() + b.offset, b.shape};
  }

  /// The elements of one entry, flat.
  Tensor<T, 1, Memory> value(ParameterEntry const& e) { return {values().data() + e.offset, {e.size}}; }
  Tensor<T, 1, Memory> gradient(ParameterEntry const& e) { return {gradients().data() + e.offset, {e.size}}; }
  Tensor<T, 1, Memory> value(BufferEntry const& e) { return {buffers().data() + e.offset, {e.size}}; }

  template <ExecutionSpace Exec>
  void zero_gradients(Exec const& exec) {
    gradients();
    Kokkos::deep_copy(exec, gradients_, T(0));
  }

  /// A copy of one entry's values (or gradients) on the host. Waits for all work.
  template <std::derived_from<FlatEntry> Entry>
  std::vector<T> host_values(Entry const& e) {
    return host_copy(value(e));
  }
  std::vector<T> host_gradients(ParameterEntry const& e) { return host_copy(gradient(e)); }

  /// Replaces one entry's values, converting from another real type where needed. Waits for all work.
  template <Real U, std::derived_from<FlatEntry> Entry>
  void assign(Entry const& e, std::span<U const> from) {
    ATTN_CHECK(Index(from.size()) == e.size, "Parameters::assign: give \"", e.name, "\" ", e.size, " numbers, got ",
               from.size());
    std::vector<T> converted(from.begin(), from.end());
    copy_from_host(converted, value(e));
  }

 private:
  using Array = Kokkos::View<T*, Memory>;

  /// An array of `extent` numbers that begins with the elements of `old`; the rest is zero.
  static Array enlarged(Array const& old, char const* label, Index extent) {
    Array const larger(std::string(label), static_cast<std::size_t>(extent));
    Kokkos::deep_copy(Kokkos::subview(larger, std::pair(std::size_t(0), old.extent(0))), old);
    return larger;
  }

  /// Makes room for everything registered so far and draws the initial values of what is new.
  template <class Entry>
  void grow(Array& array, char const* label, Index extent, std::vector<Entry> const& entries) const {
    Index const old_extent = Index(array.extent(0));
    array = enlarged(array, label, extent);
    auto const host = Kokkos::create_mirror_view(Kokkos::HostSpace(), array);
    Kokkos::deep_copy(host, array);
    for (FlatEntry const& e : entries) {
      if (e.offset < old_extent) continue;
      T* const to = host.data() + e.offset;
      RandomKey const key = subkey(key_, std::string_view(e.name));
      Initializer const initializer = e.initializer;
      Kokkos::parallel_for("attn::Parameters::initialize",
                           Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace, Kokkos::IndexType<Index>>(0, e.size),
                           [=](Index i) { to[i] = static_cast<T>(draw(initializer, key, std::uint64_t(i))); });
    }
    Kokkos::fence("attn::Parameters::initialize");
    Kokkos::deep_copy(array, host);
  }

  RandomKey key_;
  Array values_;
  Array gradients_;
  Array buffers_;
};

}  // namespace attn::nn
