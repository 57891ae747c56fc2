/// Flat arrays of a model in .safetensors files: a tensor for each entry.
#pragma once

#include "attn/io/failed_run.hpp"
#include "attn/io/safetensors.hpp"
#include "attn/nn/parameters.hpp"

#include <cmath>
#include <string>
#include <vector>

namespace attn::train::detail {

inline io::Shape shape_of(nn::FlatEntry const& entry) { return {entry.shape.begin(), entry.shape.end()}; }

/// A flat array on the host. Waits for all work.
template <class T, class Memory>
std::vector<T> host_copy(Tensor<T, 1, Memory> const& from) {
  using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
  std::vector<T> to(static_cast<std::size_t>(from.size()));
  Kokkos::fence("attn::train::host_copy");
  Kokkos::deep_copy(Kokkos::View<T*, Kokkos::HostSpace, Unmanaged>(to.data(), to.size()),
                    Kokkos::View<T const*, Memory, Unmanaged>(from.data(), to.size()));
  return to;
}
template <class T, class Memory>
void copy_from_host(std::vector<T> const& from, Tensor<T, 1, Memory> const& to) {
  using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
  Kokkos::fence("attn::train::copy_from_host");
  Kokkos::deep_copy(Kokkos::View<T*, Memory, Unmanaged>(to.data(), from.size()),
                    Kokkos::View<T const*, Kokkos::HostSpace, Unmanaged>(from.data(), from.size()));
}

/// Adds the parts of a flat array, each under `prefix` and the name of its entry. Numbers that are not finite are the
/// end of a run, not something to keep. `flat` must live until the file is written.
template <class Entry, class T>
void add_tensors(io::SafetensorsWriter& file, std::vector<Entry> const& entries, std::string const& prefix,
                 std::vector<T> const& flat) {
  for (nn::FlatEntry const& entry : entries) {
    T const* const values = flat.data() + entry.offset;
    for (Index i = 0; i < entry.size; ++i) {
      if (std::isfinite(values[i])) continue;
      throw io::FailedRun("nothing was written: " + prefix + entry.name + " holds " + std::to_string(values[i]) +
                          "; lower the learning rate or clip the gradients");
    }
    file.add(prefix + entry.name, shape_of(entry), values);
  }
}

/// Reads what `add_tensors` added into an array of `extent` numbers.
template <class T, class Entry>
std::vector<T> read_tensors(io::Safetensors const& file, std::vector<Entry> const& entries, Index extent,
                            std::string const& prefix) {
  std::vector<T> flat(static_cast<std::size_t>(extent), T(0));
  for (nn::FlatEntry const& entry : entries) {
    file.read(prefix + entry.name, shape_of(entry), flat.data() + entry.offset);
  }
  return flat;
}

}  // namespace attn::train::detail
