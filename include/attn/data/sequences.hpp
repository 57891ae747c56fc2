/// Labelled sequences of tokens in memory: what the loaders and generators of long-sequence tasks make.
#pragma once

#include "attn/core/check.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace attn::data {

/// Examples of `per_example` sequences each (two for retrieval) and a label each, `0 <= label < classes`.
///
/// Tokens are bytes; token t of the file has the id `t + first_id` in a model. The id 0 is padding: where it stands, a
/// model sees nothing. Sequence s lies at tokens[offsets[s]] ... tokens[offsets[s + 1] - 1].
struct Sequences {
  std::size_t per_example = 1;
  std::size_t length = 0;  // positions of a padded sequence
  int vocabulary = 0;      // ids are below it
  int classes = 0;
  int first_id = 1;
  std::vector<std::uint8_t> tokens = {};
  std::vector<std::uint64_t> offsets = {0};
  std::vector<std::int32_t> labels = {};
  std::size_t truncated = 0;  // sequences that were longer than the limit and were cut there
  std::size_t skipped = 0;    // files that could not be read and were left out

  std::size_t count() const { return labels.size(); }
  std::span<std::uint8_t const> sequence(std::size_t example, std::size_t which = 0) const {
    std::size_t const s = example * per_example + which;
    return {tokens.data() + offsets[s], static_cast<std::size_t>(offsets[s + 1] - offsets[s])};
  }

  /// Appends one sequence, cut at `limit`. After `per_example` of them, append the label.
  template <class Bytes>
  void append(Bytes const& bytes, std::size_t limit) {
    std::size_t const kept = bytes.size() < limit ? bytes.size() : limit;
    truncated += kept < bytes.size();
    tokens.insert(tokens.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(kept));
    offsets.push_back(tokens.size());
  }
};

/// Data to learn from, to choose by, and to judge by.
struct SequenceSplits {
  Sequences train, dev, test;
};

/// An empty dataset of the same kind.
inline Sequences like(Sequences const& other) {
  Sequences result;
  result.per_example = other.per_example;
  result.length = other.length;
  result.vocabulary = other.vocabulary;
  result.classes = other.classes;
  result.first_id = other.first_id;
  return result;
}

/// The examples `indices` of a dataset, in that order.
template <class Indices>
Sequences select(Sequences const& data, Indices const& indices) {
  Sequences result = like(data);
  for (auto const i : indices) {
    for (std::size_t w = 0; w < data.per_example; ++w) {
      result.append(data.sequence(static_cast<std::size_t>(i), w), data.length);
    }
    result.labels.push_back(data.labels[static_cast<std::size_t>(i)]);
  }
  return result;
}

/// Throws unless offsets, labels and sizes agree with one another. `name` opens the message.
inline void check(Sequences const& data, std::string const& name) {
  ATTN_CHECK(data.length > 0 && data.per_example > 0 && data.vocabulary > 1 && data.classes > 0, name,
             ": give the dataset a length, a vocabulary and classes");
  ATTN_CHECK(data.offsets.size() == data.count() * data.per_example + 1 && data.offsets.back() == data.tokens.size(),
             name, ": give ", data.per_example, " sequences for each of the ", data.count(), " labels, not ",
             data.offsets.size() - 1);
  for (std::size_t s = 0; s + 1 < data.offsets.size(); ++s) {
    std::uint64_t const length = data.offsets[s + 1] - data.offsets[s];
    ATTN_CHECK(data.offsets[s + 1] >= data.offsets[s] && length <= data.length, name, ": sequence ", s, " has ", length,
               " tokens, there is room for ", data.length);
  }
  for (std::size_t i = 0; i < data.count(); ++i) {
    ATTN_CHECK(data.labels[i] >= 0 && data.labels[i] < data.classes, name, ": label ", data.labels[i], " of example ",
               i, " is out of range, there are ", data.classes, " classes");
  }
  for (std::uint8_t const token : data.tokens) {
    ATTN_CHECK(int(token) + data.first_id < data.vocabulary, name, ": token ", int(token), " has an id beyond the ",
               data.vocabulary, " of the vocabulary");
  }
}

}  // namespace attn::data
