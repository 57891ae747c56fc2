#include "attn/data/sequence_batches.hpp"

#include <gtest/gtest.h>

#include <map>

namespace {

using attn::RandomKey;
using attn::data::SequenceBatch;
using attn::data::SequencePass;
using attn::data::Sequences;
using attn::data::SequenceStream;

/// Example i: its sequences have the tokens 0, i, 0, i, ...; `first_id` 0 hides every other one.
Sequences numbered(std::size_t count, std::size_t per_example = 1, int first_id = 1) {
  Sequences data;
  data.per_example = per_example;
  data.length = 8;
  data.vocabulary = 64;
  data.classes = 3;
  data.first_id = first_id;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t w = 0; w < per_example; ++w) {
      std::vector<std::uint8_t> tokens(i % 5);
      for (std::size_t t = 1; t < tokens.size(); t += 2) tokens[t] = static_cast<std::uint8_t>(i + w);
      data.append(tokens, data.length);
    }
    data.labels.push_back(static_cast<std::int32_t>(i % 3));
  }
  return data;
}

std::vector<int> copy_of(std::span<int const> s) { return {s.begin(), s.end()}; }

TEST(SequenceBatches, RowsAreTheVisibleTokens) {
  Sequences const data = numbered(5);
  SequenceBatch batch(data, 3);
  batch.indices = {3, 0, 4};
  batch.pack(data);
  EXPECT_EQ(copy_of(batch.ids()), (std::vector<int>{1, 4, 1, 1, 5, 1, 5}));
  EXPECT_EQ(copy_of(batch.position_of()), (std::vector<int>{0, 1, 2, 0, 1, 2, 3}));
  EXPECT_EQ(copy_of(batch.sequence_of()), (std::vector<int>{0, 0, 0, 2, 2, 2, 2}));
  EXPECT_EQ(copy_of(batch.offsets()), (std::vector<int>{0, 3, 3, 7}));  // the second is an empty document
  EXPECT_EQ(batch.labels()[2], 1);
}

TEST(SequenceBatches, TheIdOfPaddingHidesATokenWhereverItStands) {
  Sequences const data = numbered(5, 1, 0);
  SequenceBatch batch(data, 1);
  batch.indices = {4};
  batch.pack(data);
  EXPECT_EQ(copy_of(batch.ids()), (std::vector<int>{4, 4}));
  EXPECT_EQ(copy_of(batch.position_of()), (std::vector<int>{1, 3}));
}

TEST(SequenceBatches, SecondSequencesFollowAllFirstOnes) {
  Sequences const data = numbered(5, 2);
  SequenceBatch batch(data, 2);
  batch.indices = {2, 3};
  batch.pack(data);
  EXPECT_EQ(copy_of(batch.offsets()), (std::vector<int>{0, 2, 5, 7, 10}));
  EXPECT_EQ(copy_of(batch.ids()), (std::vector<int>{1, 3, 1, 4, 1, 1, 4, 1, 5, 1}));
}

TEST(SequenceBatches, AStreamShowsEveryExampleOnceAnEpochInAnotherOrder) {
  Sequences const data = numbered(7);
  SequenceStream stream(data, 3, RandomKey{.seed = 1});
  std::vector<std::size_t> seen;
  for (int b = 0; b < 7; ++b) {
    auto const& batch = stream.next();
    seen.insert(seen.end(), batch.indices.begin(), batch.indices.end());  // batches go over the ends of epochs
  }
  std::vector<std::vector<std::size_t>> epochs;
  for (int e = 0; e < 3; ++e) {
    epochs.emplace_back(seen.begin() + 7 * e, seen.begin() + 7 * (e + 1));
    auto sorted = epochs.back();
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(sorted, (std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6}));
  }
  EXPECT_NE(epochs[0], epochs[1]);
}

TEST(SequenceBatches, AStreamGoesOnWhereItIsTold) {
  Sequences const data = numbered(7);
  SequenceStream whole(data, 2, RandomKey{.seed = 1}), resumed(data, 2, RandomKey{.seed = 1}, 8);
  for (int b = 0; b < 4; ++b) whole.next();
  for (int b = 0; b < 5; ++b) EXPECT_EQ(whole.next().indices, resumed.next().indices);
}

TEST(SequenceBatches, AnyNumberOfWorkersShowsTheSameExamples) {
  Sequences const data = numbered(7);
  SequenceStream one(data, 3, RandomKey{.seed = 1}, 5), many(data, 3, RandomKey{.seed = 1}, 5, 4);
  for (int b = 0; b < 9; ++b) {
    auto const &expected = one.next(), &got = many.next();
    EXPECT_EQ(got.indices, expected.indices);
    EXPECT_EQ(copy_of(got.ids()), copy_of(expected.ids()));
  }
  SequencePass pass(data, 2, false, 3);
  std::size_t examples = 0;
  while (auto const* batch = pass.next()) {
    for (std::size_t const index : batch->indices) EXPECT_EQ(index, examples++);
  }
  EXPECT_EQ(examples, 7u);
}

TEST(SequenceBatches, APassShowsAllExamplesInOrder) {
  Sequences const data = numbered(7);
  std::vector<std::size_t> sizes;
  SequencePass pass(data, 3), dropping(data, 3, true);
  while (auto const* batch = pass.next()) sizes.push_back(batch->size());
  EXPECT_EQ(sizes, (std::vector<std::size_t>{3, 3, 1}));
  sizes.clear();
  while (auto const* batch = dropping.next()) sizes.push_back(batch->size());
  EXPECT_EQ(sizes, (std::vector<std::size_t>{3, 3}));
}

TEST(SequenceBatches, InParts_AreSharedByRanks) {
  Sequences const data = numbered(10);
  SequenceStream whole(data, 5, {7, 0});
  SequenceStream first(data, 5, {7, 0}, 0, 1, {2, 0, 2}), second(data, 5, {7, 0}, 0, 2, {2, 1, 2});
  for (int i = 0; i < 5; ++i) {
    auto const all = whole.next().indices, even = first.next().indices, odd = second.next().indices;
    EXPECT_EQ(even, (std::vector<std::size_t>{all[0], all[2], all[4]}));
    EXPECT_EQ(odd, (std::vector<std::size_t>{all[1], all[3]}));
  }
  SequencePass pass(data, 3, false, 1, 1, 2);  // batches 1 and 3
  EXPECT_EQ(pass.next()->indices, (std::vector<std::size_t>{3, 4, 5}));
  EXPECT_EQ(pass.next()->indices, (std::vector<std::size_t>{9}));
  EXPECT_EQ(pass.next(), nullptr);
}

TEST(SequenceBatches, WrongSizesAreRefused) {
  Sequences data = numbered(3);
  EXPECT_THROW(SequenceStream(data, 0, {}), attn::Error);
  data.labels[1] = 3;
  EXPECT_THROW(SequencePass(data, 2), attn::Error);
  data = numbered(3);
  data.tokens.back() = 63;  // id 64
  EXPECT_THROW(SequencePass(data, 2), attn::Error);
}

}  // namespace
