// Where warps put the numbers of tiles that they transpose, and which banks of shared memory they touch at once.
#include "attn/attention/detail/hopper/transposed.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <vector>

namespace {

namespace cuda = attn::detail::cuda;

/// A thread that transposes, and notes which 16 bytes of all banks it touches at once with its neighbours.
struct TransposingBlock {
  std::vector<unsigned char>& memory;
  std::vector<unsigned>& reads;
  std::vector<unsigned>& writes;

  template <class T>
  T read(unsigned from) const {
    T value;
    std::memcpy(&value, &memory[from], sizeof value);
    reads.push_back(from);
    return value;
  }
  template <class T>
  void write(unsigned to, T const& value) const {
    std::memcpy(&memory[to], &value, sizeof value);
    writes.push_back(to);
  }
};

/// `lanes` neighbours touch 128 bytes of different banks each time.
void expect_all_banks(std::vector<std::vector<unsigned>> const& of_threads, std::size_t lanes, unsigned bytes) {
  for (std::size_t first = 0; first < of_threads.size(); first += lanes) {
    for (std::size_t i = 0; i < of_threads[first].size(); ++i) {
      std::set<unsigned> banks;
      for (std::size_t l = 0; l < lanes; ++l) banks.insert(of_threads[first + l].at(i) % 128 / bytes);
      EXPECT_EQ(banks.size(), lanes) << "threads from " << first << " on, access " << i;
    }
  }
}

/// `count` tiles one behind the other, by so many warps.
template <int width, int streamed, int count = 1, int warps = 3>
void expect_transposed() {
  using Tiles = cuda::TransposedTiles<width, streamed, count, warps, 8>;
  constexpr unsigned from = 1024, to = from + count * Tiles::tile_bytes;
  std::vector<unsigned char> memory(to + count * Tiles::tile_bytes);
  auto const place = [](auto const& panels, int row, int column) {
    return panels.chunk(row, column / 4) + unsigned(column % 4 * 4);
  };
  auto const number = [](int tile, int row, int column) { return float((tile * streamed + row) * width + column); };
  for (int i = 0; i < count * streamed * width; ++i) {
    int const tile = i / width / streamed, row = i / width % streamed, column = i % width;
    float const x = number(tile, row, column);
    std::memcpy(&memory[place(typename Tiles::From{from + unsigned(tile * Tiles::tile_bytes)}, row, column)], &x, 4);
  }
  std::vector<std::vector<unsigned>> reads(Tiles::threads), writes(Tiles::threads);
  for (int thread = 0; thread < Tiles::threads; ++thread) {
    std::size_t const t = std::size_t(thread);
    Tiles::transpose(TransposingBlock{memory, reads[t], writes[t]}, thread, {from}, {to});
  }
  int const order[] = {0, 2, 4, 6, 1, 3, 5, 7};
  for (int i = 0; i < count * streamed * width; ++i) {
    int const tile = i / width / streamed, column = i / streamed % width, at = i % streamed;
    float x;
    std::memcpy(&x, &memory[place(typename Tiles::To{to + unsigned(tile * Tiles::tile_bytes)}, column, at)], 4);
    EXPECT_EQ(x, number(tile, at / 8 * 8 + order[at % 8], column)) << tile << ": " << column << ", " << at;
  }
  expect_all_banks(reads, 16, 8);
  expect_all_banks(writes, 8, 16);
}
TEST(TransposedTiles, AreInTheOrderOfWeights_WithoutConflictsOfBanks) {
  expect_transposed<32, 64>();
  expect_transposed<64, 64>();
  expect_transposed<128, 32>();
}
TEST(TransposedTiles, LieOneBehindTheOther) {
  expect_transposed<32, 64, 2>();
  expect_transposed<64, 64, 2>();
  expect_transposed<64, 64, 2, 2>();
}

}  // namespace
