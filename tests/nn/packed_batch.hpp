// Padded batches as packed sequences, and random tensors in a context.
#pragma once

#include "attn/core/random.hpp"
#include "attn/nn/context.hpp"
#include "attn/nn/packed_sequences.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace attn::testing {

/// A copy of host numbers in the memory of the default space.
template <class T, class Memory = Kokkos::DefaultExecutionSpace::memory_space>
Kokkos::View<T*, Memory> on_device(std::vector<T> const& values) {
  Kokkos::View<T*, Memory> const view("test", values.size());
  Kokkos::deep_copy(view, Kokkos::View<T const*, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>>(
                              values.data(), values.size()));
  return view;
}

template <class T, class Memory, int Rank>
std::vector<std::remove_const_t<T>> on_host(Tensor<T, Rank, Memory> const& x) {
  std::vector<std::remove_const_t<T>> values(static_cast<std::size_t>(x.size()));
  Kokkos::deep_copy(Kokkos::View<std::remove_const_t<T>*, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>>(
                        values.data(), values.size()),
                    Kokkos::View<T*, Memory, Kokkos::MemoryTraits<Kokkos::Unmanaged>>(x.data(), values.size()));
  return values;
}

/// Sequences of `length` ids each; id 0 is hidden.
class PackedBatch {
 public:
  using Memory = Kokkos::DefaultExecutionSpace::memory_space;

  PackedBatch(std::vector<std::vector<int>> const& padded, Index length) {
    std::vector<int> offsets{0}, sequence_of, position_of, ids;
    for (std::size_t b = 0; b < padded.size(); ++b) {
      for (std::size_t p = 0; p < padded[b].size(); ++p) {
        if (padded[b][p] == 0) continue;
        ids.push_back(padded[b][p]);
        sequence_of.push_back(static_cast<int>(b));
        position_of.push_back(static_cast<int>(p));
      }
      offsets.push_back(static_cast<int>(ids.size()));
    }
    offsets_ = on_device(offsets), sequence_of_ = on_device(sequence_of);
    position_of_ = on_device(position_of), ids_ = on_device(ids);
    auto const tensor = [](auto const& v) { return Tensor<int const, 1, Memory>(v.data(), {Index(v.extent(0))}); };
    sequences = {length, tensor(offsets_), tensor(sequence_of_), tensor(position_of_)};
    this->ids = tensor(ids_);
  }

  nn::PackedSequences<Memory> sequences;
  Tensor<int const, 1, Memory> ids;

 private:
  Kokkos::View<int*, Memory> offsets_, sequence_of_, position_of_, ids_;
};

/// Normal numbers.
template <class T>
std::vector<T> random_numbers(std::size_t n, std::uint64_t seed, double deviation = 1) {
  std::vector<T> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = T(deviation * normal<double>(RandomKey{.seed = seed}, i));
  return values;
}

}  // namespace attn::testing
