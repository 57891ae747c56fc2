#include "attn/nn/packed_sequences.hpp"

#include <utility>

#include "nn/packed_batch.hpp"
#include "support.hpp"

namespace {

using namespace attn;
using attn::testing::on_host;
using attn::testing::PackedBatch;

/// The keys of each of `n` queries. On hosts alone, where tables can be read.
template <class M>
std::vector<std::pair<int, int>> keys(M const& mask, int n) {
  std::vector<std::pair<int, int>> result;
  for (int i = 0; i < n; ++i) {
    KeyRange const range = mask.keys({.batch = 0, .index = i, .n_queries = n, .n_keys = n});
    result.emplace_back(range.begin, range.end);
  }
  return result;
}

TEST(PackedSequences, HoldTheTokensThatAreSeen) {
  PackedBatch const batch({{1, 0, 1}, {0, 0, 0}, {0, 1, 1}}, 3);
  EXPECT_EQ(batch.sequences.batch(), 3);
  EXPECT_EQ(batch.sequences.rows(), 4);
  EXPECT_EQ(on_host(batch.sequences.offsets), (std::vector<int>{0, 2, 2, 4}));
  EXPECT_EQ(on_host(batch.sequences.sequence_of), (std::vector<int>{0, 0, 2, 2}));
  EXPECT_EQ(on_host(batch.sequences.position_of), (std::vector<int>{0, 2, 1, 2}));
}

TEST(PackedSequences, QueriesSeeTheKeysOfTheirGroup) {
  if constexpr (!HostExecutionSpace<attn_test::Exec>) GTEST_SKIP() << "tables lie on a device";
  PackedBatch const batch({{1, 0, 1}, {0, 0, 0}, {0, 1, 1}}, 3);
  using Ranges = std::vector<std::pair<int, int>>;
  EXPECT_EQ(keys(nn::rows_to_rows(batch.sequences, 3), 4), (Ranges{{0, 2}, {0, 2}, {2, 4}, {2, 4}}));
  EXPECT_EQ(keys(nn::rows_to_landmarks(batch.sequences, 2), 4), (Ranges{{0, 2}, {0, 2}, {4, 6}, {4, 6}}));
  EXPECT_EQ(keys(nn::landmarks_to_rows(batch.sequences, 2, 3), 6),
            (Ranges{{0, 2}, {0, 2}, {2, 2}, {2, 2}, {2, 4}, {2, 4}}));
  EXPECT_EQ(nn::landmarks_to_rows(batch.sequences, 2, 3).length(0, 4), 3);
}

}  // namespace
