// The emulated Hopper GPU itself: TMA and descriptors place bytes as the PTX ISA says, and mistakes of a kernel are
// found.
#include <cmath>
#include <limits>

#include "emulated_warpgroup.hpp"
#include "support.hpp"

namespace {

using attn_test::EmulatedHopperBlock;
using attn_test::EmulatedMap;
using attn_test::WarpgroupEmulator;
using namespace attn::detail::cuda;

using Kernel = std::function<void(EmulatedHopperBlock const&)>;

/// Two warpgroups and 64 KiB, whose first KiB holds barriers.
std::string fault_of(Kernel const& kernel) {
  WarpgroupEmulator emulator(8, 64 * 1024);
  return attn_test::error_of(
      [&] { emulator.run([&](int thread) { kernel(EmulatedHopperBlock(emulator, thread, 0, 1)); }); });
}
void expect_fault(std::string const& part, Kernel const& kernel) {
  std::string const fault = fault_of(kernel);
  EXPECT_NE(fault.find(part), std::string::npos) << "got: '" << fault << "'";
}

/// 128 rows of 64 numbers: entry (row, column) is column + 64 row, or one of few small numbers.
struct Matrix {
  std::vector<attn::Float16> numbers;
  EmulatedMap map;

  explicit Matrix(int modulus) : numbers(128 * 64) {
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = attn::Float16(float(int(i) % modulus));
    map = {attn::Tensor<attn::Float16, 4, Kokkos::HostSpace>(numbers.data(), {1, 1, 128, 64}), 128};
  }
  double operator()(int row, int column) const { return double(float(numbers[std::size_t(64 * row + column)])); }
};

constexpr unsigned landed = 0, free_again = 8, place = 1024, bytes = 128 * 128;

/// Thread 0 copies a matrix to `place`; all others may wait for `landed`, and one warp arrives at `free_again`.
template <class M>
void copy(EmulatedHopperBlock const& block, M const& matrix) {
  if (block.thread() == 0) {
    block.init_barrier(landed, 1);
    block.init_barrier(free_again, 4);
    block.publish_barriers();
  }
  block.barrier();
  if (block.thread() == 0) {
    block.arrive_expecting(landed, matrix.map.bytes());
    block.load_box(place, matrix.map, {}, landed);
  }
}
std::uint64_t descriptor(unsigned step, unsigned leading = 16) {
  return matrix_descriptor(attn_test::HopperEmulator::window + place + step, leading, 1024);
}

// CUDA driver API, CU_TENSOR_MAP_SWIZZLE_128B: in each 1024 bytes, chunk c of row r lies where c xor r is; of rows of
// 64 bytes (CU_TENSOR_MAP_SWIZZLE_64B), two of which make a line of 128, where c xor the line is.
TEST(EmulatedHopper, CopiesBoxesSwizzledAndFillsThemUpWithZeros) {
  for (int const columns : {64, 32}) {
    Matrix matrix(2048);
    matrix.map.extents = {1, 1, 100, columns - 4};
    matrix.map.columns = columns;
    WarpgroupEmulator emulator(8, 64 * 1024);
    emulator.run([&](int thread) {
      EmulatedHopperBlock const block(emulator, thread, 0, 1);
      copy(block, matrix);
      block.wait(landed, 0);
    });
    for (int row = 0; row < 128; ++row) {
      for (int column = 0; column < columns; ++column) {
        attn::Float16 got;
        int const chunk = (column / 8) ^ (columns == 64 ? row % 8 : row / 2 % 4);
        std::memcpy(&got, &emulator.memory[place + std::size_t(row * columns * 2 + chunk * 16 + column % 8 * 2)], 2);
        double const want = row < 100 && column < columns - 4 ? matrix(row, column) : 0;
        EXPECT_EQ(double(float(got)), want) << columns << ": " << row << ", " << column;
      }
    }
  }
}

// The same tile as rows of both operands, at a step of 16 columns, and as columns of the right one.
TEST(EmulatedHopper, MultipliesWhatDescriptorsDescribe) {
  Matrix const matrix(7);
  std::vector<float> by_rows(64 * 128), by_columns(64 * 64);
  EXPECT_EQ(fault_of([&](EmulatedHopperBlock const& block) {
              copy(block, matrix);
              if (block.group() == 1) return;
              block.wait(landed, 0);
              float s[16][4], sum[8][4] = {};
              block.begin_products();
              block.multiply_by_rows<Format::fp16>(s, descriptor(32), descriptor(32), false);
              block.multiply_by_rows<Format::fp16>(s, descriptor(64), descriptor(64), true);
              block.commit_products();
              block.wait_for_products<0>(s);
              std::uint32_t left[4];  // the first 16 columns of the product
              for (int i = 0; i < 4; ++i)
                left[i] = pack<Format::fp16>(s[i / 2][i % 2 * 2] / 8, s[i / 2][i % 2 * 2 + 1] / 8);
              block.begin_products();
              block.multiply_by_columns<Format::fp16>(sum, left, descriptor(2048));
              block.commit_products();
              block.wait_for_products<0>(sum);
              int const row = block.thread() / 32 * 16 + block.thread() % 32 / 4, column = block.thread() % 4 * 2;
              for (int i = 0; i < 64; ++i) {
                int const at = (row + i % 4 / 2 * 8) * 128 + i / 4 * 8 + column + i % 2;
                by_rows[std::size_t(at)] = s[i / 4][i % 4];
                if (i < 32) by_columns[std::size_t(at / 128 * 64 + at % 128)] = sum[i / 4][i % 4];
              }
            }),
            "");
  for (int i = 0; i < 64; ++i) {
    for (int j = 0; j < 128; ++j) {
      double want = 0;
      for (int k = 16; k < 48; ++k) want += matrix(i, k) * matrix(j, k);
      EXPECT_EQ(double(by_rows[std::size_t(i * 128 + j)]), want) << i << ", " << j;
    }
    for (int j = 0; j < 64; ++j) {
      double want = 0;
      for (int k = 0; k < 16; ++k) {
        want += double(float(attn::Float16(by_rows[std::size_t(i * 128 + k)] / 8))) * matrix(16 + k, j);
      }
      EXPECT_NEAR(double(by_columns[std::size_t(i * 64 + j)]), want, 1e-4 * want) << i << ", " << j;
    }
  }
}

// Rows 32 ... 47 of the first 64 columns, transposed, times the same rows.
TEST(EmulatedHopper, MultipliesTransposedOperands) {
  Matrix const matrix(7);
  std::vector<float> product(64 * 64);
  EXPECT_EQ(fault_of([&](EmulatedHopperBlock const& block) {
              copy(block, matrix);
              if (block.group() == 1) return;
              block.wait(landed, 0);
              float sum[8][4];
              block.begin_products();
              block.multiply_transposed<Format::fp16>(sum, descriptor(32 * 128), descriptor(32 * 128), false);
              block.commit_products();
              block.wait_for_products<0>(sum);
              int const row = block.thread() / 32 * 16 + block.thread() % 32 / 4, column = block.thread() % 4 * 2;
              for (int i = 0; i < 32; ++i) {
                product[std::size_t((row + i % 4 / 2 * 8) * 64 + i / 4 * 8 + column + i % 2)] = sum[i / 4][i % 4];
              }
            }),
            "");
  for (int i = 0; i < 64; ++i) {
    for (int j = 0; j < 64; ++j) {
      double want = 0;
      for (int k = 32; k < 48; ++k) want += matrix(k, i) * matrix(k, j);
      EXPECT_EQ(double(product[std::size_t(i * 64 + j)]), want) << i << ", " << j;
    }
  }
}

/// 128 rows of 32 numbers of fp32, which TMA rounds to tf32, or not.
struct WideMatrix {
  std::vector<float> numbers;
  EmulatedMap map;

  explicit WideMatrix(bool rounds) : numbers(128 * 32) {
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = 1 + float(int(i) % 4096) * 0x1p-12f;
    map = {attn::Tensor<float, 4, Kokkos::HostSpace>(numbers.data(), {1, 1, 128, 32}), 128, 32};
    map.rounds = rounds;
  }
  /// Rounded to the nearest number of 11 bits, halves to the even one.
  double operator()(int row, int column) const {
    return std::nearbyint(double(numbers[std::size_t(32 * row + column)]) * 0x1p10) * 0x1p-10;
  }
};

TEST(EmulatedHopper, RoundsToTf32WhatItCopies) {
  WideMatrix matrix(true);
  matrix.map.extents = {1, 1, 100, 28};
  matrix.numbers[5] = std::numeric_limits<float>::infinity();
  WarpgroupEmulator emulator(8, 64 * 1024);
  emulator.run([&](int thread) {
    EmulatedHopperBlock const block(emulator, thread, 0, 1);
    copy(block, matrix);
    block.wait(landed, 0);
  });
  for (int row = 0; row < 128; ++row) {
    for (int column = 0; column < 32; ++column) {
      float got;
      std::memcpy(&got, &emulator.memory[place + std::size_t(row * 128 + (column / 4 ^ row % 8) * 16 + column % 4 * 4)],
                  4);
      EXPECT_EQ(double(got), row < 100 && column < 28 ? matrix(row, column) : 0) << row << ", " << column;
    }
  }
}

// "Matrix fragments for wgmma.mma_async.m64k8": registers 0 and 2 of a thread have columns t and t + 4 of row g, 1 and
// 3 of row g + 8. Both times by columns 8 ... 15 of 64 rows.
TEST(EmulatedHopper, MultipliesTf32) {
  WideMatrix const matrix(true);
  for (bool const by_registers : {false, true}) {
    std::vector<float> product(64 * 64);
    EXPECT_EQ(fault_of([&](EmulatedHopperBlock const& block) {
                copy(block, matrix);
                if (block.group() == 1) return;
                block.wait(landed, 0);
                int const g = block.thread() / 32 * 16 + block.thread() % 32 / 4, t = block.thread() % 4;
                float sum[8][4];
                std::uint32_t left[4];
                for (int i = 0; i < 4; ++i) {
                  left[i] = std::bit_cast<std::uint32_t>(float(matrix(g + i % 2 * 8, 8 + t + i / 2 * 4)));
                }
                block.begin_products();
                if (by_registers) {
                  block.multiply_by_rows<Format::tf32>(sum, left, descriptor(32), false);
                } else {
                  block.multiply_by_rows<Format::tf32>(sum, descriptor(32), descriptor(32), false);
                }
                block.commit_products();
                block.wait_for_products<0>(sum);
                for (int i = 0; i < 32; ++i) {
                  product[std::size_t((g + i % 4 / 2 * 8) * 64 + i / 4 * 8 + 2 * t + i % 2)] = sum[i / 4][i % 4];
                }
              }),
              "");
    for (int i = 0; i < 64; ++i) {
      for (int j = 0; j < 64; ++j) {
        double want = 0;
        for (int k = 8; k < 16; ++k) want += matrix(i, k) * matrix(j, k);
        EXPECT_NEAR(double(product[std::size_t(i * 64 + j)]), want, 1e-6 * want) << i << ", " << j;
      }
    }
  }
}

TEST(EmulatedHopper, FindsOperandsThatNobodyRounded) {
  WideMatrix const matrix(false);
  expect_fault("and no tf32", [&](EmulatedHopperBlock const& block) {
    copy(block, matrix);
    if (block.group() == 1) return;
    block.wait(landed, 0);
    float sum[8][4];
    block.begin_products();
    block.multiply_by_rows<Format::tf32>(sum, descriptor(0), descriptor(0), false);
    block.commit_products();
    block.wait_for_products<0>(sum);
  });
  expect_fault("in rows alone", [&](EmulatedHopperBlock const& block) {
    float sum[8][4] = {};
    std::uint32_t const left[4] = {};
    block.begin_products();
    block.multiply_by_columns<Format::tf32>(sum, left, descriptor(0));
  });
}

/// Two blocks at the same time.
std::string fault_of_grid(Kernel const& kernel) {
  attn_test::EmulatedGrid grid(2, true);
  return attn_test::error_of([&] {
    grid.run([&](int block) {
      WarpgroupEmulator emulator(4, 1024, &grid, block);
      emulator.run([&](int thread) { kernel(EmulatedHopperBlock(emulator, thread, block, 2)); });
    });
  });
}

/// Threads 0 and 1 of the first block write sums, and one tells the second block, which adds to one of them.
TEST(EmulatedHopper, FindsSumsThatNobodyHasHeardOf) {
  auto const add_in_turn = [](EmulatedHopperBlock const& block, unsigned& number, bool meets, bool hears, int which) {
    static float sums[2][4];
    float const ones[4] = {1, 1, 1, 1};
    if (block.index() == 0) {
      if (block.thread() < 2) block.write_four(sums[block.thread()], ones);
      if (meets) block.group_barrier(0);
      if (block.thread() == 0) block.tell(&number, 1);
    } else if (block.thread() == 0) {
      if (hears) block.hear(&number, 1);
      block.add_four(sums[which], ones);
      ATTN_CHECK(sums[which][3] == 2, "another sum");
    }
  };
  auto const fault = [&](bool meets, bool hears, int which) {
    unsigned number = 0;
    return fault_of_grid([&](EmulatedHopperBlock const& b) { add_in_turn(b, number, meets, hears, which); });
  };
  EXPECT_EQ(fault(true, true, 1), "");
  EXPECT_EQ(fault(false, true, 0), "");
  EXPECT_NE(fault(true, false, 1).find("has not heard"), std::string::npos) << "nobody waits";
  EXPECT_NE(fault(false, true, 1).find("has not heard"), std::string::npos) << "who tells does not know";
  EXPECT_NE(fault_of_grid([](EmulatedHopperBlock const& b) {
              static unsigned const number = 0;
              if (b.thread() == 0) b.hear(&number, 1);
            }).find("tell it nothing"),
            std::string::npos);
}

TEST(EmulatedHopper, FindsProductsOfWhatHasNotArrived) {
  Matrix const matrix(7);
  expect_fault("before it knows that it is there", [&](EmulatedHopperBlock const& block) {
    copy(block, matrix);
    if (block.group() == 1) return;
    float s[8][4];
    block.begin_products();
    block.multiply_by_rows<Format::fp16>(s, descriptor(0), descriptor(0), false);
  });
  expect_fault("nobody wrote", [&](EmulatedHopperBlock const& block) {
    float s[8][4];
    block.begin_products();
    block.multiply_by_rows<Format::fp16>(s, descriptor(0), descriptor(0), false);
  });
}

/// Multiplies, and lets the other warpgroup copy again, after a wait for the products or before.
void multiply_and_copy_again(EmulatedHopperBlock const& block, Matrix const& matrix, bool waits) {
  copy(block, matrix);
  if (block.group() == 1) {
    block.wait(free_again, 0);
    if (block.thread() != 128) return;
    block.arrive_expecting(landed, int(bytes));
    block.load_box(place, matrix.map, {}, landed);
    block.wait(landed, 1);
  } else {
    block.wait(landed, 0);
    float s[8][4];
    block.begin_products();
    block.multiply_by_rows<Format::fp16>(s, descriptor(0), descriptor(0), false);
    block.commit_products();
    if (waits) block.wait_for_products<0>(s);
    if (block.thread() % 32 == 0) block.arrive(free_again);
    block.wait_for_products<0>(s);
  }
}
TEST(EmulatedHopper, FindsCopiesToWhatAProductStillReads) {
  Matrix const matrix(7);
  EXPECT_EQ(fault_of([&](EmulatedHopperBlock const& b) { multiply_and_copy_again(b, matrix, true); }), "");
  expect_fault("which a product of warp",
               [&](EmulatedHopperBlock const& b) { multiply_and_copy_again(b, matrix, false); });
}

TEST(EmulatedHopper, FindsRegistersThatAreTouchedDuringAProduct) {
  Matrix const matrix(7);
  auto const multiply = [&](EmulatedHopperBlock const& block, bool reads, bool writes, bool fences) {
    copy(block, matrix);
    if (block.group() == 1) return;
    block.wait(landed, 0);
    float sum[8][4] = {};
    std::uint32_t left[4] = {};
    for (int i = 0; i < 2; ++i) {
      if (i == 0 || fences) block.begin_products();
      block.multiply_by_columns<Format::fp16>(sum, left, descriptor(0));
      block.commit_products();
      if (writes) left[0] = 1;
      float const early = sum[0][0];
      block.wait_for_products<0>(sum);
      ATTN_CHECK(!reads || early == early, "the sum is not a number");
    }
  };
  EXPECT_EQ(fault_of([&](EmulatedHopperBlock const& b) { multiply(b, false, false, true); }), "");
  expect_fault("not a number", [&](EmulatedHopperBlock const& b) { multiply(b, true, false, true); });
  expect_fault("changed a left operand", [&](EmulatedHopperBlock const& b) { multiply(b, false, true, true); });
  expect_fault("without a fence", [&](EmulatedHopperBlock const& b) { multiply(b, false, false, false); });
  expect_fault("ended before its products", [&](EmulatedHopperBlock const& block) {
    copy(block, matrix);
    block.wait(landed, 0);
    float sum[8][4];
    block.begin_products();
    block.multiply_by_rows<Format::fp16>(sum, descriptor(0), descriptor(0), false);
  });
}

TEST(EmulatedHopper, FindsWritesThatNobodyPublished) {
  Matrix matrix(7);
  matrix.map.rows = 8;
  auto const store = [&](EmulatedHopperBlock const& block, bool publishes) {
    block.write(place + 4 * unsigned(block.thread()), 1);
    if (publishes) block.publish_writes();
    block.barrier();
    if (block.thread() > 0) return;
    block.store_box(matrix.map, {}, place);
    block.wait_for_stores();
  };
  EXPECT_EQ(fault_of([&](EmulatedHopperBlock const& b) { store(b, true); }), "");
  expect_fault("did not publish", [&](EmulatedHopperBlock const& b) { store(b, false); });
  expect_fault("without its knowing", [&](EmulatedHopperBlock const& b) {
    if (b.thread() % 128 == 0) b.write(place, 1);
  });
}

TEST(EmulatedHopper, FindsReadsAndWritesOfThreadsThatDoNotKnowOfOneAnother) {
  auto const pass = [](EmulatedHopperBlock const& block, bool waits_to_read, bool waits_to_write) {
    if (block.thread() == 0) {
      block.init_barrier(landed, 1);
      block.init_barrier(free_again, 1);
    }
    block.barrier();
    if (block.thread() == 0) {
      block.write(place, 5);
      block.arrive(landed);
      if (waits_to_write) block.wait(free_again, 0);
      block.write(place, 6);
    } else if (block.thread() == 1) {
      if (waits_to_read) block.wait(landed, 0);
      ATTN_CHECK(block.read<int>(place) == 5, "another number");
      block.arrive(free_again);
    }
  };
  EXPECT_EQ(fault_of([&](EmulatedHopperBlock const& b) { pass(b, true, true); }), "");
  expect_fault("before it knows", [&](EmulatedHopperBlock const& b) { pass(b, false, true); });
  expect_fault("before it knows", [&](EmulatedHopperBlock const& b) { pass(b, true, false); });
}

TEST(EmulatedHopper, CopiesWordsThatArriveLate) {
  alignas(8) static int const numbers[] = {5, 6};
  auto const pass = [](EmulatedHopperBlock const& block, bool waits, bool writes) {
    if (block.thread() == 0) block.init_barrier(landed, 1);
    block.barrier();
    if (block.thread() == 0) {
      block.copy_word<8>(place, numbers, 4);
      if (writes) block.write(place + 8, 7);
      block.arrive_with_words(landed);
    }
    if (block.thread() > (waits ? 1 : 0)) return;
    if (waits) block.wait(landed, 0);
    ATTN_CHECK(block.read<int>(place) == 5 && block.read<int>(place + 4) == 0, "other numbers");
    if (writes) block.read<int>(place + 8);
  };
  EXPECT_EQ(fault_of([&](EmulatedHopperBlock const& b) { pass(b, true, false); }), "");
  expect_fault("before it knows", [&](EmulatedHopperBlock const& b) { pass(b, false, false); });
  expect_fault("before it knows", [&](EmulatedHopperBlock const& b) { pass(b, true, true); });
  expect_fault("ended before its stores or copies", [](EmulatedHopperBlock const& block) {
    if (block.thread() == 0) block.copy_word<8>(place, numbers, 8);
  });
  expect_fault("without their alignment", [](EmulatedHopperBlock const& block) {
    if (block.thread() == 0) block.copy_word<8>(place, numbers + 1, 8);
    if (block.thread() == 0) block.copy_word<8>(place + 4, numbers, 8);
  });
}

TEST(EmulatedHopper, FindsWrongUseOfBarriers) {
  expect_fault("more arrivals", [](EmulatedHopperBlock const& block) {
    if (block.thread() > 0) return;
    block.init_barrier(0, 1);
    block.arrive_expecting(0, 16);
    block.arrive(0);
  });
  expect_fault("does not know of the barrier", [](EmulatedHopperBlock const& block) {
    if (block.thread() == 0) block.init_barrier(0, 1);
    if (block.thread() == 1) block.arrive(0);
  });
  expect_fault("never come", [](EmulatedHopperBlock const& block) {
    if (block.thread() > 0) return;
    block.init_barrier(0, 2);
    block.arrive(0);
    block.wait(0, 0);
  });
  Matrix const matrix(7);
  expect_fault("TMA does not know of the barrier", [&](EmulatedHopperBlock const& block) {
    if (block.thread() > 0) return;
    block.init_barrier(landed, 1);
    block.load_box(place, matrix.map, {}, landed);
  });
  expect_fault("that nobody waits for", [&](EmulatedHopperBlock const& block) { copy(block, matrix); });
  expect_fault("not a multiple of 1024", [&](EmulatedHopperBlock const& block) {
    if (block.thread() == 0) block.load_box(512, matrix.map, {}, 0);
  });
}

}  // namespace
