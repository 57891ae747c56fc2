/// Batches of sequences: an endless shuffled stream, and all of a dataset once; packed, and prepared while the step
/// before runs.
#pragma once

#include "attn/core/concepts.hpp"
#include "attn/data/batches.hpp"
#include "attn/data/prefetch.hpp"
#include "attn/data/sequences.hpp"
#include "attn/nn/packed_sequences.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
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

/// An endless stream of examples: all of them in random order, then all in another order, and so on; batches go over
/// the ends of epochs. Example number k depends on (key, k) alone, so a resumed run starts at `first`. The dataset must
/// outlive this. Allocates only when it is made.
class SequenceStream {
 public:
  SequenceStream(Sequences const& data, std::size_t batch_size, RandomKey key, std::uint64_t first = 0)
      : data_(data),
        batch_size_(batch_size),
        key_(key),
        next_(first),
        order_(data.count()),
        buffers_{SequenceBatch(data, batch_size), SequenceBatch(data, batch_size)} {
    check(data, "SequenceStream");
    ATTN_CHECK(data.count() > 0 && batch_size > 0, "SequenceStream: give examples and a batch_size of at least 1");
    prefetch_ = std::make_unique<Prefetch<SequenceBatch>>(buffers_, [this](SequenceBatch& b) { return fill(b); });
  }
  SequenceStream(SequenceStream&&) = delete;

  /// The next batch; it is overwritten after the next call.
  SequenceBatch const& next() { return *prefetch_->next(); }

 private:
  bool fill(SequenceBatch& batch) {
    batch.indices.clear();
    for (; batch.indices.size() < batch_size_; ++next_) {
      std::uint64_t const epoch = next_ / data_.count();
      if (!ordered_ || epoch != epoch_) shuffle(subkey(key_, epoch), order_);
      ordered_ = true;
      epoch_ = epoch;
      batch.indices.push_back(order_[next_ % data_.count()]);
    }
    batch.pack(data_);
    return true;
  }

  Sequences const& data_;
  std::size_t batch_size_;
  RandomKey key_;
  std::uint64_t next_;
  std::uint64_t epoch_ = 0;
  bool ordered_ = false;  // whether `order_` is that of `epoch_`
  std::vector<std::uint32_t> order_;
  std::array<SequenceBatch, 2> buffers_;
  std::unique_ptr<Prefetch<SequenceBatch>> prefetch_;  // last: its thread uses all of the above
};

/// All examples in order, once; the last batch may be smaller, or is left out with `drop_last`. The dataset must
/// outlive this.
class SequencePass {
 public:
  SequencePass(Sequences const& data, std::size_t batch_size, bool drop_last = false)
      : data_(data),
        batch_size_(batch_size),
        end_(drop_last ? data.count() / batch_size * batch_size : data.count()),
        buffers_{SequenceBatch(data, batch_size), SequenceBatch(data, batch_size)} {
    check(data, "SequencePass");
    prefetch_ = std::make_unique<Prefetch<SequenceBatch>>(buffers_, [this](SequenceBatch& b) { return fill(b); });
  }
  SequencePass(SequencePass&&) = delete;

  /// The next batch, overwritten after the next call; nullptr after the last.
  SequenceBatch const* next() { return prefetch_->next(); }

 private:
  bool fill(SequenceBatch& batch) {
    if (next_ >= end_) return false;
    batch.indices.resize(std::min(batch_size_, end_ - next_));
    std::iota(batch.indices.begin(), batch.indices.end(), next_);
    next_ += batch.size();
    batch.pack(data_);
    return true;
  }

  Sequences const& data_;
  std::size_t batch_size_, end_, next_ = 0;
  std::array<SequenceBatch, 2> buffers_;
  std::unique_ptr<Prefetch<SequenceBatch>> prefetch_;
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
