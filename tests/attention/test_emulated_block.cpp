// The emulator itself: operands lie where the PTX ISA says, and mistakes of a kernel are found.
#include "emulated_block.hpp"
#include "support.hpp"

namespace {

using attn::detail::cuda::Format;
using attn_test::BlockEmulator;
using attn_test::EmulatedBlock;

std::string fault_of(int warps, std::size_t bytes, std::function<void(EmulatedBlock const&)> const& kernel) {
  BlockEmulator emulator(warps, bytes);
  return attn_test::error_of([&] { emulator.run([&](int thread) { kernel(EmulatedBlock(emulator, thread, 0)); }); });
}

// PTX ISA, "Matrix fragments for mma.m16n8k16 with floating point type": row g = lane / 4 (+ 8 in a1 and a3), column
// 2 (lane % 4) (+ 8 in a2 and a3) of A, written out for a few lanes.
TEST(EmulatedBlock, MultipliesSixteenBitOperandsFromTheirDocumentedPlaces) {
  // A has a single 1 at (row, column), B a single 1 at (column, n): only c(row, n) becomes 1.
  struct Case {
    int row, column, n;  // the product's only entry
    int a_lane, a_register, a_half, b_lane, b_register, b_half, c_lane, c_register;
  };
  for (Case const& c : {Case{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, Case{0, 1, 1, 0, 0, 1, 4, 0, 1, 0, 1},
                        Case{9, 2, 3, 5, 1, 0, 13, 0, 0, 5, 3}, Case{3, 8, 7, 12, 2, 0, 28, 1, 0, 15, 1},
                        Case{15, 15, 6, 31, 3, 1, 27, 1, 1, 31, 2}}) {
    float results[32][4];
    EXPECT_EQ(fault_of(1, 128,
                       [&](EmulatedBlock const& block) {
                         int const lane = block.thread();
                         std::uint32_t const one = attn::Float16(1.0f).bits;
                         std::uint32_t a[4]{}, b[2]{};
                         if (lane == c.a_lane) a[c.a_register] = one << (16 * c.a_half);
                         if (lane == c.b_lane) b[c.b_register] = one << (16 * c.b_half);
                         float sum[4]{};
                         block.multiply_add<Format::fp16>(sum, a, b[0], b[1]);
                         for (int r = 0; r < 4; ++r) results[lane][r] = sum[r];
                       }),
              "");
    for (int lane = 0; lane < 32; ++lane) {
      for (int r = 0; r < 4; ++r) EXPECT_EQ(results[lane][r], lane == c.c_lane && r == c.c_register ? 1 : 0);
    }
  }
}

TEST(EmulatedBlock, MultipliesTf32OperandsFromTheirDocumentedPlaces) {
  struct Case {
    int a_lane, a_register, b_lane, b_register, c_lane, c_register;
  };
  // a0 (g, t), a1 (g + 8, t), a2 (g, t + 4), a3 (g + 8, t + 4); b0 (t, g), b1 (t + 4, g)
  for (Case const& c :
       {Case{0, 0, 0, 0, 0, 0}, Case{6, 1, 14, 0, 5, 3}, Case{31, 2, 7, 1, 28, 1}, Case{9, 3, 25, 1, 11, 2}}) {
    float results[32][4];
    EXPECT_EQ(fault_of(1, 128,
                       [&](EmulatedBlock const& block) {
                         int const lane = block.thread();
                         std::uint32_t a[4]{}, b[2]{};
                         // 1 + 2^-11: hardware does not see the last bit.
                         if (lane == c.a_lane) a[c.a_register] = std::bit_cast<std::uint32_t>(1.00048828125f);
                         if (lane == c.b_lane) b[c.b_register] = std::bit_cast<std::uint32_t>(3.0f);
                         float sum[4] = {2, 2, 2, 2};
                         block.multiply_add<Format::tf32>(sum, a, b[0], b[1]);
                         for (int r = 0; r < 4; ++r) results[lane][r] = sum[r];
                       }),
              "");
    for (int lane = 0; lane < 32; ++lane) {
      for (int r = 0; r < 4; ++r) EXPECT_EQ(results[lane][r], lane == c.c_lane && r == c.c_register ? 5 : 2);
    }
  }
}

TEST(EmulatedBlock, LoadsMatricesStraightAndTransposed) {
  std::uint32_t straight[32][4], transposed[32][4];
  EXPECT_EQ(fault_of(1, 1024,
                     [&](EmulatedBlock const& block) {
                       int const lane = block.thread();
                       attn::detail::cuda::Chunk chunk;
                       for (int w = 0; w < 4; ++w) {  // matrix m, row i, column j holds 100 m + 10 i + j
                         std::uint32_t const low =
                             100u * unsigned(lane / 8) + 10u * unsigned(lane % 8) + 2u * unsigned(w);
                         chunk.words[w] = low | (low + 1) << 16;
                       }
                       block.write(32 * unsigned(lane), chunk);
                       block.barrier();
                       block.load_matrices(straight[lane], 32 * unsigned(lane));
                       block.load_transposed(transposed[lane], 32 * unsigned(lane));
                     }),
            "");
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned m = 0; m < 4; ++m) {
      unsigned const i = lane / 4, j = 2 * (lane % 4);
      EXPECT_EQ(straight[lane][m], (100 * m + 10 * i + j) | (100 * m + 10 * i + j + 1) << 16);
      EXPECT_EQ(transposed[lane][m], (100 * m + 10 * j + i) | (100 * m + 10 * (j + 1) + i) << 16);
    }
  }
}

TEST(EmulatedBlock, CountsMatricesWhoseRowsShareBanks) {
  for (unsigned const step : {16u, 128u, 144u}) {
    BlockEmulator emulator(1, 32 * 144);
    emulator.run([&](int thread) {
      EmulatedBlock const block(emulator, thread, 0);
      std::uint32_t r[4];
      block.write(step * unsigned(thread), attn::detail::cuda::Chunk{});
      block.barrier();
      block.load_matrices(r, step * unsigned(thread));
    });
    EXPECT_EQ(emulator.conflicts, step == 128 ? 4 : 0) << "rows " << step << " bytes apart";
  }
}

TEST(EmulatedBlock, PassesNumbersBetweenLanes) {
  float crossed[32], shared[32];
  EXPECT_EQ(fault_of(1, 128,
                     [&](EmulatedBlock const& block) {
                       int const lane = block.thread();
                       crossed[lane] = block.exchange(float(lane), 2);
                       shared[lane] = block.of_four(float(lane), 3);
                     }),
            "");
  for (int lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(crossed[lane], float(lane ^ 2));
    EXPECT_EQ(shared[lane], float(lane / 4 * 4 + 3));
  }
}

TEST(EmulatedBlock, ShowsOtherThreadsWhatWasWrittenBeforeABarrier) {
  EXPECT_EQ(fault_of(4, 512,
                     [](EmulatedBlock const& block) {
                       unsigned const own = 4 * unsigned(block.thread()), other = 508 - own;
                       block.write(own, block.thread());
                       block.barrier();
                       if (block.read<int>(other) != 127 - block.thread()) throw std::runtime_error("another number");
                     }),
            "");
}

void expect_fault(std::string const& part, int warps, std::function<void(EmulatedBlock const&)> const& kernel) {
  std::string const fault = fault_of(warps, 1024, kernel);
  EXPECT_NE(fault.find(part), std::string::npos) << "got: '" << fault << "'";
}

TEST(EmulatedBlock, FindsAMissingBarrier) {
  expect_fault("with no barrier between them", 2, [](EmulatedBlock const& block) {
    block.write(4 * unsigned(block.thread()), 1);
    if (block.thread() > 0) (void)block.read<int>(4 * unsigned(block.thread() - 1));
  });
  expect_fault("that others read", 2, [](EmulatedBlock const& block) {
    block.write(4 * unsigned(block.thread()), 1);
    block.barrier();
    if (block.thread() < 63) (void)block.read<int>(4 * unsigned(block.thread() + 1));
    block.write(4 * unsigned(block.thread()), 2);
  });
}

TEST(EmulatedBlock, FindsAMissingWait) {
  alignas(16) static int const source[4] = {1, 2, 3, 4};
  expect_fault("whose copy nobody has waited for", 1, [](EmulatedBlock const& block) {
    block.copy_chunk(16 * unsigned(block.thread()), source, 16);
    block.barrier();
    (void)block.read<int>(0);
  });
  expect_fault("with no barrier between them", 1, [](EmulatedBlock const& block) {
    block.copy_chunk(16 * unsigned(block.thread()), source, 16);
    block.wait_for_copies();
    if (block.thread() > 0) (void)block.read<int>(16 * unsigned(block.thread() - 1));
  });
  expect_fault("ended before its copies", 1,
               [](EmulatedBlock const& block) { block.copy_word(4 * unsigned(block.thread()), source, 4); });
}

TEST(EmulatedBlock, FindsReadsOfNothingAndBeyondTheEnd) {
  expect_fault("which nobody wrote", 1, [](EmulatedBlock const& block) { (void)block.read<int>(0); });
  expect_fault("beyond the shared memory", 1, [](EmulatedBlock const& block) { block.write(1024, 1); });
  expect_fault("are not aligned", 1, [](EmulatedBlock const& block) {
    std::uint32_t r[4];
    block.load_matrices(r, 8);
  });
}

TEST(EmulatedBlock, FindsLanesThatMeetAtDifferentInstructionsOrNotAtAll) {
  expect_fault("meet at", 1,
               [](EmulatedBlock const& block) { block.thread() == 7 ? block.exchange(1, 1) : block.of_four(1, 1); });
  expect_fault("never come", 1, [](EmulatedBlock const& block) {
    if (block.thread() != 7) (void)block.exchange(1, 1);
  });
  expect_fault("never come", 2, [](EmulatedBlock const& block) {
    if (block.thread() < 32) block.barrier();
  });
}

}  // namespace
