// How evenly the blocks of a persistent kernel share tiles of queries, by simulation: a tile costs the tiles of keys
// that it sees. `--gtest_output=json:FILE` writes how many per cent more than the mean the busiest block has.
#include "attn/attention/detail/hopper/work_order.hpp"
#include "attn/core/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace {

namespace cuda = attn::detail::cuda;
using attn::Index;
using attn::detail::tiles_of;

constexpr int own = 192, streamed = 128;  // of the forward kernel for heads of 64 in bf16
constexpr int blocks = 132;               // of an H100

/// `heads` of all sequences, of `tokens` each, and what each tile costs: cost(head, tile).
template <class Cost>
struct Works {
  int heads;
  Index tokens;
  Cost cost;

  int tiles() const { return int(tiles_of(tokens, own)); }
  cuda::WorkOrder order() const { return {heads, tiles(), tokens * 64 * 2 * 2, Index(50) << 20}; }
  double cost_of(cuda::WorkOrder const& order, int work) const {
    attn::detail::TeamPlace const at = order.place(work, heads);  // kernels begin with the last tile
    return cost(at.head, tiles() - 1 - at.tile);
  }
};
template <class Cost>
Works(int, Index, Cost) -> Works<Cost>;

/// By how many per cent the busiest has more than the mean.
double excess(std::vector<double> const& busy) {
  double sum = 0;
  for (double const x : busy) sum += x;
  return 100 * (*std::max_element(busy.begin(), busy.end()) * double(busy.size()) / sum - 1);
}

/// Each block takes the next work that none has begun when it is done.
template <class Cost>
double excess_taken(Works<Cost> const& works) {
  cuda::WorkOrder const order = works.order();
  std::vector<double> busy(std::size_t(blocks), 0.0);
  for (int w = 0; w < order.size(); ++w) *std::min_element(busy.begin(), busy.end()) += works.cost_of(order, w);
  return excess(busy);
}
/// Each block has its turns, forth and back.
template <class Cost>
double excess_in_turns(Works<Cost> const& works) {
  cuda::WorkOrder const order = works.order();
  std::vector<double> busy(std::size_t(blocks), 0.0);
  std::vector<int> seen(std::size_t(order.size()));
  for (int block = 0; block < blocks; ++block) {
    for (int round = 0, w; (w = order.work(block, blocks, round)) < order.size(); ++round) {
      busy[std::size_t(block)] += works.cost_of(order, w);
      ++seen[std::size_t(w)];
    }
  }
  EXPECT_EQ(seen, std::vector<int>(seen.size(), 1)) << "each work once";
  return excess(busy);
}
/// Without a WorkOrder: one head after the other, and always forth.
template <class Cost>
double excess_head_by_head(Works<Cost> const& works) {
  std::vector<double> busy(std::size_t(blocks), 0.0);
  for (int w = 0; w < works.heads * works.tiles(); ++w) {
    busy[std::size_t(w % blocks)] += works.cost(w / works.tiles(), works.tiles() - 1 - w % works.tiles());
  }
  return excess(busy);
}

TEST(WorkOrder, NamesEveryTileOnce) {
  for (Index const tokens : {1000, 1024, 16384}) {
    Works const works{48, tokens, [](int, int) { return 1.0; }};
    cuda::WorkOrder const order = works.order();
    std::vector<int> seen(std::size_t(order.size()));
    for (int w = 0; w < order.size(); ++w) {
      auto const at = order.place(w, works.heads);
      ++seen[std::size_t(at.head * works.tiles() + at.tile)];
    }
    EXPECT_EQ(seen, std::vector<int>(seen.size(), 1)) << tokens << " tokens";
  }
}

TEST(WorkOrder, BlocksHaveAlikeManyKeys_UnderCausalMasks) {
  for (Index const tokens : {1000, 1024, 2048, 4096, 8192, 16384}) {
    Works const works{int(16 * 16384 / tokens), tokens, [&](int, int tile) {
                        return double(tiles_of(std::min<Index>((tile + 1) * own, tokens), streamed));
                      }};
    double const taken = excess_taken(works), turns = excess_in_turns(works), heads = excess_head_by_head(works);
    RecordProperty(std::to_string(tokens) + " tokens", std::to_string(taken) + ", in turns " + std::to_string(turns) +
                                                           ", by heads " + std::to_string(heads));
    EXPECT_LT(taken, 2) << tokens << " tokens";
    EXPECT_LT(turns, 8.69) << tokens << " tokens";
    EXPECT_GT(heads, 20) << "without an order: " << tokens << " tokens";
  }
}

TEST(WorkOrder, BlocksThatTakeTheNextHaveAlikeManyKeys_InSequencesOfAnyLength) {
  int const draws = 20, sequences = 16, heads = 16;
  for (Index const tokens : {1024, 2048}) {
    double taken = 0, turns = 0;
    for (int draw = 0; draw < draws; ++draw) {
      attn::RandomKey const key{std::uint64_t(draw), std::uint64_t(tokens)};
      Works const works{sequences * heads, tokens, [&](int head, int) {
                          double const u = attn::uniform<double>(key, std::uint64_t(head / heads));
                          return double(tiles_of(Index(double(tokens) * (1 + 7 * u) / 8), streamed));
                        }};
      taken += excess_taken(works) / draws;
      turns += excess_in_turns(works) / draws;
    }
    RecordProperty(std::to_string(tokens) + " tokens at most",
                   std::to_string(taken) + ", in turns " + std::to_string(turns));
    EXPECT_LT(2 * taken, turns) << tokens << " tokens at most";
    EXPECT_LT(taken, 10) << tokens << " tokens at most";
  }
}

}  // namespace
