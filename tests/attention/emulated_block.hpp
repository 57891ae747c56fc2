/// EmulatedBlock: a block of threads of a GPU on the host, so that tests run the text of tensor-core kernels.
///
/// Each thread is a fiber. It runs until it needs others: a collective instruction of its warp waits for its 32 lanes,
/// a barrier for the block. Operands lie in the lanes as "Parallel Thread Execution ISA", sections on mma and ldmatrix,
/// prescribes. The emulator is stricter than hardware, and throws where a kernel
///   - reads shared memory that nobody wrote, that another thread wrote since the last barrier, or whose copy it has
///     not waited for; writes what another thread reads or writes before the next barrier; leaves the memory;
///   - lets lanes of a warp meet at different instructions, or threads wait for ever.
#pragma once

#include "attn/attention/detail/cuda/block.hpp"

#include <cstring>

#include "emulated_threads.hpp"

namespace attn_test {

/// What the threads of a block share.
class BlockEmulator : public EmulatedThreads {
 public:
  BlockEmulator(int warps, std::size_t shared_bytes)
      : EmulatedThreads(32 * warps), memory(shared_bytes), history(shared_bytes / 4) {}

  /// Runs body(thread) in all threads of one block, whose memory nobody has written.
  void run(std::function<void(int)> const& body) {
    history.assign(history.size(), {});
    pending_.assign(std::size_t(n_threads), {});
    arrived_ = 0;
    epoch_ = 1;
    EmulatedThreads::run(body);
    for (auto const& copies : pending_) {
      ATTN_CHECK(copies.empty(), "EmulatedBlock: a thread ended before its copies did");
    }
  }

  void barrier() {
    if (++arrived_ == n_threads) {
      arrived_ = 0;
      ++epoch_;
      progress();
      return;
    }
    wait_until([this, epoch = epoch_] { return epoch_ != epoch; }, 0, n_threads);
  }

  void start_copy(int thread, unsigned to, void const* from, int bytes, int size) {
    ATTN_CHECK(reinterpret_cast<std::uintptr_t>(from) % std::size_t(size) == 0 || bytes == 0,
               "EmulatedBlock: copy from a multiple of ", size);
    ATTN_CHECK(0 <= bytes && bytes <= size, "EmulatedBlock: copy 0 to ", size, " bytes, not ", bytes);
    wrote(thread, to, size);
    for (unsigned w = to / 4; w < (to + unsigned(size)) / 4; ++w) history[w].in_flight = true;
    std::memset(memory.data() + to, 0xff, std::size_t(size));  // not a number in any format
    pending_[std::size_t(thread)].push_back({to, from, bytes, size});
  }
  /// The data come as late as they may.
  void wait_for_copies(int thread) {
    for (Copy const& c : pending_[std::size_t(thread)]) {
      for (unsigned w = c.to / 4; w < (c.to + unsigned(c.size)) / 4; ++w) history[w].in_flight = false;
      wrote(thread, c.to, c.size);
      std::memset(memory.data() + c.to, 0, std::size_t(c.size));
      if (c.bytes > 0) std::memcpy(memory.data() + c.to, c.from, std::size_t(c.bytes));
    }
    pending_[std::size_t(thread)].clear();
  }

  void wrote(int thread, unsigned to, int bytes) {
    check_place(to, bytes);
    for (unsigned w = to / 4; w < (to + unsigned(bytes) + 3) / 4; ++w) {
      Word& word = history[w];
      ATTN_CHECK(!word.in_flight, "EmulatedBlock: a write to byte ", 4 * w, " while it is copied");
      ATTN_CHECK(word.write_epoch != epoch_ || word.writer == thread, "EmulatedBlock: threads ", word.writer, " and ",
                 thread, " write byte ", 4 * w, " with no barrier between them");
      ATTN_CHECK(word.read_epoch != epoch_ || word.reader == thread, "EmulatedBlock: thread ", thread, " writes byte ",
                 4 * w, " that others read, with no barrier between them");
      word.write_epoch = epoch_;
      word.writer = thread;
    }
  }
  void reads(int thread, unsigned from, int bytes) {
    check_place(from, bytes);
    for (unsigned w = from / 4; w < (from + unsigned(bytes) + 3) / 4; ++w) {
      Word& word = history[w];
      ATTN_CHECK(word.write_epoch != 0, "EmulatedBlock: a read of byte ", 4 * w, ", which nobody wrote");
      ATTN_CHECK(!word.in_flight, "EmulatedBlock: a read of byte ", 4 * w, ", whose copy nobody has waited for");
      ATTN_CHECK(word.write_epoch != epoch_ || word.writer == thread, "EmulatedBlock: thread ", thread, " reads byte ",
                 4 * w, " that thread ", word.writer, " wrote, with no barrier between them");
      word.reader = word.read_epoch == epoch_ && word.reader != thread ? several : thread;
      word.read_epoch = epoch_;
    }
  }

  long conflicts = 0;  ///< matrices whose eight rows do not lie on all banks: reading them takes longer

 private:
  static constexpr int several = -2;

  struct Copy {
    unsigned to;
    void const* from;
    int bytes, size;
  };
  struct Word {
    unsigned write_epoch = 0, read_epoch = 0;
    int writer = -1, reader = -1;
    bool in_flight = false;
  };

  void check_place(unsigned at, int bytes) const {
    ATTN_CHECK(at + std::size_t(bytes) <= memory.size(), "EmulatedBlock: byte ", at, " is beyond the shared memory of ",
               memory.size());
    ATTN_CHECK(at % unsigned(bytes) == 0, "EmulatedBlock: ", bytes, " bytes at ", at, " are not aligned");
  }

 public:
  std::vector<unsigned char> memory;

 private:
  std::vector<Word> history;
  std::vector<std::vector<Copy>> pending_;
  int arrived_ = 0;
  unsigned epoch_ = 1;
};

/// One thread's view of it: the members of attn::detail::cuda::CudaBlock.
class EmulatedBlock : public EmulatedLanes<BlockEmulator> {
 public:
  using EmulatedLanes::EmulatedLanes;

  void barrier() const { emulator_->barrier(); }
  void copy_chunk(unsigned to, void const* from, int bytes) const {
    emulator_->start_copy(thread_, to, from, bytes, 16);
  }
  void copy_word(unsigned to, void const* from, int bytes) const { emulator_->start_copy(thread_, to, from, bytes, 4); }
  void wait_for_copies() const { emulator_->wait_for_copies(thread_); }

  void load_matrices(std::uint32_t (&r)[4], unsigned row) const { load(r, row, "ldmatrix", 2); }
  void load_transposed(std::uint32_t (&r)[4], unsigned row) const { load(r, row, "ldmatrix.trans", 1); }

  template <cuda::Format F>
  void multiply_add(float (&c)[4], std::uint32_t const (&a)[4], std::uint32_t b0, std::uint32_t b1) const {
    struct Operands {
      float* c;
      std::uint32_t const* a;
      std::uint32_t b[2];
    } mine{c, a, {b0, b1}};
    constexpr int k = cuda::is_narrow<F> ? 16 : 8;
    emulator_->collective(thread_, "mma", mine, [&](std::array<Operands*, 32> const& lanes) {  // clang 14 captures k
      double a[16][k], b[k][8];
      for (std::size_t l = 0; l < 32; ++l) {
        int const group = int(l) / 4, four = int(l) % 4;
        for (int r = 0; r < 4; ++r) {
          int const row = group + 8 * (r % 2);
          if constexpr (cuda::is_narrow<F>) {  // r = 0, 1: columns 0 ... 7; r = 2, 3: columns 8 ... 15
            for (int e = 0; e < 2; ++e) a[row][2 * four + e + 8 * (r / 2)] = half<F>(lanes[l]->a[r], e);
          } else {
            a[row][four + 4 * (r / 2)] = tf32(lanes[l]->a[r]);
          }
        }
        for (int r = 0; r < 2; ++r) {
          if constexpr (cuda::is_narrow<F>) {
            for (int e = 0; e < 2; ++e) b[2 * four + e + 8 * r][group] = half<F>(lanes[l]->b[r], e);
          } else {
            b[four + 4 * r][group] = tf32(lanes[l]->b[r]);
          }
        }
      }
      for (std::size_t l = 0; l < 32; ++l) {
        for (int r = 0; r < 4; ++r) {
          int const row = int(l) / 4 + 8 * (r / 2), column = 2 * (int(l) % 4) + r % 2;
          double sum = double(lanes[l]->c[r]);
          for (int i = 0; i < k; ++i) sum += a[row][i] * b[i][column];
          lanes[l]->c[r] = cut_off(sum);
        }
      }
    });
  }

 private:
  /// It ignores what tf32 has no room for.
  static double tf32(std::uint32_t bits) { return std::bit_cast<float>(bits & 0xffffe000u); }

  /// Lane l gets of each matrix, in the order of memory or transposed, the elements (l / 4, 2 (l % 4)) and the next of
  /// its row; elements are of 16 bits.
  void load(std::uint32_t (&r)[4], unsigned row, char const* name, int step) const {
    emulator_->reads(thread_, row, 16);
    struct Operands {
      std::uint32_t* r;
      unsigned row;
    } mine{r, row};
    emulator_->collective(thread_, name, mine, [&](std::array<Operands*, 32> const& lanes) {
      for (std::size_t matrix = 0; matrix < 4; ++matrix) {
        std::uint16_t elements[8][8];
        unsigned banks = 0;
        for (std::size_t i = 0; i < 8; ++i) {
          std::memcpy(elements[i], emulator_->memory.data() + lanes[8 * matrix + i]->row, 16);
          banks |= 1u << (lanes[8 * matrix + i]->row / 16 % 8);
        }
        if (banks != 0xffu) ++emulator_->conflicts;
        for (std::size_t l = 0; l < 32; ++l) {
          std::size_t const i = l / 4, j = 2 * (l % 4);
          bool const straight = step == 2;
          std::uint32_t const first = straight ? elements[i][j] : elements[j][i];
          std::uint32_t const second = straight ? elements[i][j + 1] : elements[j + 1][i];
          lanes[l]->r[matrix] = first | second << 16;
        }
      }
    });
  }
};

}  // namespace attn_test
