/// Batches of sequences: an endless shuffled stream, and all of a dataset once; packed, and prepared while the step
/// before runs.
#pragma once

#include "attn/core/concepts.hpp"
#include "attn/data/batch_parts.hpp"
#include "attn/data/batches.hpp"
#include "attn/data/prefetch.hpp"
#include "attn/data/sequences.hpp"
#include "attn/nn/packed_sequences.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace attn::data {

/// Some examples, packed: tokens whose id is 0 are left out (see nn/packed_sequences.hpp). With two sequences an
/// example, the first ones of all examples come first, then the second ones.
class SequenceBatch {
  static auto uninitialized(char const* label) {
    return Kokkos::view_alloc(std::string(label), Kokkos::WithoutInitializing);
  }

 public:
  template <class T>
  using Buffer = Kokkos::View<T*, StagingSpace>;

  /// Allocates for at most `capacity` examples.
  SequenceBatch(Sequences const& data, std::size_t capacity)
      : ids_(uninitialized("batch ids"), capacity * data.per_example * data.length),
        positions_(uninitialized("batch positions"), ids_.extent(0)),
        sequences_(uninitialized("batch sequences"), ids_.extent(0)),
        offsets_(uninitialized("batch offsets"), capacity * data.per_example + 1),
        labels_(uninitialized("batch labels"), capacity) {
    offsets_(0) = 0;
    indices.reserve(capacity);
  }

  std::vector<std::size_t> indices;  // which example of the dataset each one is
  std::size_t length = 0;            // positions of each sequence
  std::size_t sequences = 0;
  std::size_t rows = 0;

  std::size_t size() const { return indices.size(); }
  std::span<int const> ids() const { return {ids_.data(), rows}; }
  std::span<int const> position_of() const { return {positions_.data(), rows}; }
  std::span<int const> sequence_of() const { return {sequences_.data(), rows}; }
  std::span<int const> offsets() const { return {offsets_.data(), sequences + 1}; }
  std::span<std::int32_t const> labels() const { return {labels_.data(), size()}; }

  /// Packs the examples `indices`.
  void pack(Sequences const& data) {
    length = data.length;
    sequences = size() * data.per_example;
    rows = 0;
    for (std::size_t s = 0; s < sequences; ++s) {
      auto const tokens = data.sequence(indices[s % size()], s / size());
      for (std::size_t p = 0; p < tokens.size(); ++p) {
        int const id = int(tokens[p]) + data.first_id;
        if (id == 0) continue;
        ids_(rows) = id;
        positions_(rows) = static_cast<int>(p);
        sequences_(rows++) = static_cast<int>(s);
      }
      offsets_(s + 1) = static_cast<int>(rows);
    }
    for (std::size_t i = 0; i < size(); ++i) labels_(i) = data.labels[indices[i]];
  }

 private:
  Buffer<int> ids_, positions_, sequences_, offsets_;
  Buffer<std::int32_t> labels_;
};

namespace detail {

/// Room for one batch in use and one in the hands of each worker.
inline std::vector<SequenceBatch> ring(Sequences const& data, std::size_t batch_size, std::size_t workers) {
  std::vector<SequenceBatch> places;
  for (std::size_t i = 0; i <= workers; ++i) places.emplace_back(data, batch_size);
  return places;
}

}  // namespace detail

/// An endless stream of examples: all of them in random order, then all in another order, and so on; batches go over
/// the ends of epochs. Example number k depends on (key, k) alone, so a resumed run starts at `first`. Batches may be
/// read in parts. The dataset must outlive this. Allocates only when it is made.
class SequenceStream {
 public:
  SequenceStream(Sequences const& data, std::size_t batch_size, RandomKey key, std::uint64_t first = 0,
                 std::size_t workers = 1, BatchParts const& parts = {})
      : data_(checked(data, batch_size)),
        batch_size_(batch_size),
        parts_(parts),
        key_(key),
        first_(first),
        orders_(workers, Shuffled(data.count())),
        places_(detail::ring(data, parts.samples(0, batch_size), workers)),
        prefetch_(places_, workers, [this](std::uint64_t number, SequenceBatch& batch, std::size_t worker) {
          return fill(number, batch, worker);
        }) {
    parts.check("SequenceStream", batch_size);
  }
  SequenceStream(SequenceStream&&) = delete;

  /// The next batch; it is overwritten after the next call.
  SequenceBatch const& next() { return *prefetch_.next(); }

 private:
  static Sequences const& checked(Sequences const& data, std::size_t batch_size) {
    check(data, "SequenceStream");
    ATTN_CHECK(data.count() > 0 && batch_size > 0, "SequenceStream: give examples and a batch_size of at least 1");
    return data;
  }

  bool fill(std::uint64_t number, SequenceBatch& batch, std::size_t worker) {
    batch.indices.clear();
    std::uint64_t const begin = first_ + parts_.batch(number) * batch_size_;
    std::size_t const part = parts_.part(number);
    for (std::size_t i = 0; i < parts_.samples(part, batch_size_); ++i) {
      std::uint64_t const k = begin + parts_.place(part, i);
      batch.indices.push_back(orders_[worker](subkey(key_, k / data_.count()))[k % data_.count()]);
    }
    batch.pack(data_);
    return true;
  }

  Sequences const& data_;
  std::size_t batch_size_;
  BatchParts parts_;
  RandomKey key_;
  std::uint64_t first_;
  std::vector<Shuffled> orders_;  // of each worker
  std::vector<SequenceBatch> places_;
  Prefetch<SequenceBatch> prefetch_;  // last: its threads use all of the above
};

/// All examples in order, once; the last batch may be smaller, or is left out with `drop_last`. Of several ranks each
/// may read its share: the batches first, first + stride, ... The dataset must outlive this.
class SequencePass {
 public:
  SequencePass(Sequences const& data, std::size_t batch_size, bool drop_last = false, std::size_t workers = 1,
               std::size_t first = 0, std::size_t stride = 1)
      : data_(checked(data, batch_size)),
        batch_size_(batch_size),
        first_(first),
        stride_(stride),
        end_(drop_last ? data.count() / batch_size * batch_size : data.count()),
        places_(detail::ring(data, batch_size, workers)),
        prefetch_(places_, workers,
                  [this](std::uint64_t number, SequenceBatch& batch, std::size_t) { return fill(number, batch); }) {}
  SequencePass(SequencePass&&) = delete;

  /// The next batch, overwritten after the next call; nullptr after the last.
  SequenceBatch const* next() { return prefetch_.next(); }

 private:
  static Sequences const& checked(Sequences const& data, std::size_t batch_size) {
    check(data, "SequencePass");
    ATTN_CHECK(batch_size > 0, "SequencePass: give a batch_size of at least 1");
    return data;
  }

  bool fill(std::uint64_t number, SequenceBatch& batch) {
    number = first_ + number * stride_;
    if (number >= (end_ + batch_size_ - 1) / batch_size_) return false;
    std::size_t const begin = number * batch_size_;
    batch.indices.resize(std::min(batch_size_, end_ - begin));
    std::iota(batch.indices.begin(), batch.indices.end(), begin);
    batch.pack(data_);
    return true;
  }

  Sequences const& data_;
  std::size_t batch_size_, first_, stride_, end_;
  std::vector<SequenceBatch> places_;
  Prefetch<SequenceBatch> prefetch_;  // last: its threads use all of the above
};

/// A batch where a model's space can reach it: copied into memory that is kept between batches, or used in place.
template <class Memory>
class SequenceInput {
 public:
  nn::PackedSequences<Memory> sequences;
  Tensor<int const, 1, Memory> ids;              // (rows)
  Tensor<std::int32_t const, 1, Memory> labels;  // (examples)

  /// Asynchronous on `exec`: the batch must stay as it is until the work that uses it is done.
  template <ExecutionSpace Exec>
  void load(Exec const& exec, SequenceBatch const& batch) {
    ids = to_memory(exec, batch.ids(), ids_);
    labels = to_memory(exec, batch.labels(), labels_);
    sequences = {static_cast<Index>(batch.length), to_memory(exec, batch.offsets(), offsets_),
                 to_memory(exec, batch.sequence_of(), sequences_), to_memory(exec, batch.position_of(), positions_)};
  }

 private:
  template <class Exec, class T>
  static Tensor<T const, 1, Memory> to_memory(Exec const& exec, std::span<T const> from,
                                              Kokkos::View<T*, Memory>& kept) {
    Index const n = static_cast<Index>(from.size());
    if constexpr (std::is_same_v<Memory, Kokkos::HostSpace>) {
      return {from.data(), {n}};
    } else {
      using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
      if (kept.extent(0) < from.size()) {
        kept = Kokkos::View<T*, Memory>(Kokkos::view_alloc("batch", Kokkos::WithoutInitializing), from.size());
      }
      Kokkos::deep_copy(exec, Kokkos::View<T*, Memory, Unmanaged>(kept.data(), from.size()),
                        Kokkos::View<T const*, StagingSpace, Unmanaged>(from.data(), from.size()));
      return {kept.data(), {n}};
    }
  }

  Kokkos::View<int*, Memory> ids_, offsets_, sequences_, positions_;
  Kokkos::View<std::int32_t*, Memory> labels_;
};

}  // namespace attn::data
