/// BatchParts: how the samples of a batch are shared by the parts of a step, and the parts by processes.
#pragma once

#include "attn/core/check.hpp"

#include <cstddef>
#include <cstdint>

namespace attn::data {

/// Part p of a batch has the samples at its places p, p + parts, p + 2 parts, ...; rank r reads the parts r, r + ranks,
/// ... one after the other. So the ranks of a job read one epoch together, which the seed alone decides; who reads a
/// sample twice in a row (repeated augmentation) gives its repetitions to different parts, as the samplers of DeiT and
/// of PyTorch do; and a step of P parts is the same computation, but for rounding, however many ranks share them.
struct BatchParts {
  std::size_t parts = 1;  ///< of a batch, a multiple of `ranks`
  std::size_t rank = 0;
  std::size_t ranks = 1;

  /// How many parts of a batch are read here.
  std::size_t here() const { return parts / ranks; }
  /// The batch whose part is read here at `number`, and which part of it that is.
  std::uint64_t batch(std::uint64_t number) const { return number / here(); }
  std::size_t part(std::uint64_t number) const { return number % here() * ranks + rank; }
  /// How many samples a part of a batch of `size` has: none where there are fewer samples than parts.
  std::size_t samples(std::size_t part, std::size_t size) const {
    return size > part ? (size - part - 1) / parts + 1 : 0;
  }
  /// The place in the batch of sample `i` of a part.
  std::size_t place(std::size_t part, std::size_t i) const { return part + i * parts; }

  /// How much the samples that are read here count for beside those of an equal share: 1, but where the parts of a
  /// batch of `size` are not equal.
  double weight(std::size_t size) const {
    return static_cast<double>(samples(rank, size)) * static_cast<double>(parts) / static_cast<double>(size);
  }

  void check(char const* caller, std::size_t size) const {
    ATTN_CHECK(ranks > 0 && rank < ranks && parts > 0 && parts % ranks == 0, caller,
               ": give a rank below the number of ranks, and parts that ranks divide, got ", rank, ", ", ranks, " and ",
               parts);
    ATTN_CHECK(here() == 1 || size % parts == 0, caller, ": give a batch that the ", parts,
               " parts of a step divide, got ", size);
  }
};

}  // namespace attn::data
