/// EmulatedHopperBlock: one thread's view of an emulated Hopper GPU, the members of attn::detail::cuda::HopperBlock;
/// and the products of warpgroups, as "Parallel Thread Execution ISA", section on wgmma, prescribes.
///
/// Sums are not numbers from the start of a product until it was waited for. The emulator throws where a kernel writes
/// the registers of a product meanwhile, starts products without a fence after a wait, describes operands without a
/// swizzle over 128 or 64 bytes, or leaves tf32 to be cut off, of which nobody has rounded to it.
#pragma once

#include <deque>
#include <list>

#include "emulated_hopper.hpp"

namespace attn_test {

/// Products of the warpgroups of a block.
class WarpgroupEmulator : public HopperEmulator {
 public:
  using HopperEmulator::HopperEmulator;

  /// What a thread brings to a product: registers of its sum, and of a left operand, or null.
  struct Operands {
    float* sum;
    std::uint32_t const* left;
    std::uint64_t a, b;
    bool keep, by_rows;  ///< operands in memory are multiplied row by row, or summed over their rows
  };

  void run(std::function<void(int)> const& body) {
    groups_.assign(std::size_t(n_threads / cuda::warpgroup), {});
    members_.assign(std::size_t(n_threads), {});
    registers_ = 0;
    HopperEmulator::run(body);
    for (Group const& g : groups_) {
      ATTN_CHECK(g.products.empty(), "EmulatedHopper: a warpgroup ended before its products did");
    }
    ATTN_CHECK(registers_ <= 65536, "EmulatedHopper: threads ask for ", registers_, " registers");
  }

  void set_registers(int n) { registers_ += n; }
  void begin(int t) { member(t).has_begun = true; }
  void commit(int t) { member(t).committed.push_back(member(t).started); }

  /// All threads of a warpgroup start sum (64, n) = [sum +] a b^T by rows; or a b, or a^T b where a lies in memory. A
  /// step is 32 bytes of a row, 16 numbers or 8 of tf32.
  template <cuda::Format F>
  void start(int t, int n, Operands& mine) {
    ATTN_CHECK(member(t).has_begun, "EmulatedHopper: a product starts without a fence since the last wait");
    collective<cuda::warpgroup>(t, "wgmma", mine, [&](std::array<Operands*, cuda::warpgroup> const& all) {
      int const group = t / cuda::warpgroup * cuda::warpgroup;
      Group& g = group_of(t);
      Product p{n, F, all[0]->by_rows, all[0]->keep, all[0]->a, all[0]->b, {}, {}};
      ATTN_CHECK(p.by_rows || cuda::is_narrow<F>, "EmulatedHopper: operands of tf32 lie in rows alone");
      for (int i = 0; i < cuda::warpgroup; ++i) {
        Operands const& o = *all[std::size_t(i)];
        ATTN_CHECK(o.b == p.b && o.a == p.a, "EmulatedHopper: threads of a warpgroup describe different operands");
        if (o.left != nullptr) {
          p.left.push_back(o.left);
          p.left_bits.insert(p.left_bits.end(), o.left, o.left + 4);
        }
      }
      if (p.by_rows && p.left.empty()) {
        for (int row = 0; row < 64; ++row) {
          for (int c = 0; c < 2; ++c) product_reads(group, chunk(p.a, row, c), group / 32 + row / 16, 1);
        }
      } else if (p.left.empty()) {
        for (int row = 0; row < 16; ++row) {
          for (int c = 0; c < 8; ++c) product_reads(group, row_chunk(p.a, row, c), group / 32, 4);
        }
      }
      for (int i = 0; i < (p.by_rows ? n : 16); ++i) {
        for (int c = 0; c < (p.by_rows ? 2 : n / 8); ++c) {
          product_reads(group, p.by_rows ? chunk(p.b, i, c) : row_chunk(p.b, i, c), group / 32, 4);
        }
      }
      p.time = count_product(group);
      Sum& sum = take_sum(g, all, n);
      sum.last = p.time;
      p.sum = &sum;
      g.products.push_back(p);
      for (int i = group; i < group + cuda::warpgroup; ++i) member(i).started = p.time;
    });
  }

  /// Thread t waits for all but the last `pending` groups, among them those that make the sum in these registers.
  void wait_for_sum(int t, std::size_t pending, float const* registers) {
    Member& me = member(t);
    me.has_begun = false;
    Group& g = group_of(t);
    if (me.committed.size() > pending) {
      unsigned const time = me.committed[me.committed.size() - 1 - pending];
      me.committed.erase(me.committed.begin(), me.committed.end() - std::ptrdiff_t(pending));
      for (Product& p : g.products) {
        if (p.time <= time && !p.is_done) perform(p);
        if (p.time <= time && p.time > me.finished && !p.left.empty()) {
          std::size_t const at = std::size_t(t % cuda::warpgroup);
          ATTN_CHECK(std::equal(p.left[at], p.left[at] + 4, p.left_bits.begin() + std::ptrdiff_t(4 * at)),
                     "EmulatedHopper: thread ", t, " changed a left operand while a product read it");
        }
      }
      me.finished = time;
      finish_products(t, time);
      for (Sum& sum : g.sums) {
        if (sum.last <= time && !sum.is_delivered[std::size_t(t % cuda::warpgroup)]) deliver(t, sum);
      }
      std::erase_if(g.sums, [](Sum const& s) { return s.delivered == cuda::warpgroup; });
      unsigned slowest = time;
      int const group = t / cuda::warpgroup * cuda::warpgroup;
      for (int i = group; i < group + cuda::warpgroup; ++i) slowest = std::min(slowest, member(i).finished);
      while (!g.products.empty() && g.products.front().time <= slowest) g.products.pop_front();
    }
    for (Sum const& sum : g.sums) {
      ATTN_CHECK(sum.registers[std::size_t(t % cuda::warpgroup)] != registers ||
                     sum.is_delivered[std::size_t(t % cuda::warpgroup)],
                 "EmulatedHopper: thread ", t, " takes a sum that is not complete");
    }
  }

 private:
  struct Sum {
    int n;
    std::array<float*, cuda::warpgroup> registers;
    std::vector<float> entries;  ///< (64, n)
    unsigned last = 0;
    std::array<bool, cuda::warpgroup> is_delivered{};
    int delivered = 0;
  };
  struct Product {
    int n;
    cuda::Format format;
    bool by_rows, keep;
    std::uint64_t a, b;
    std::vector<std::uint32_t const*> left;
    std::vector<std::uint32_t> left_bits;
    unsigned time = 0;
    Sum* sum = nullptr;
    bool is_done = false;
  };
  struct Group {
    std::deque<Product> products;
    std::list<Sum> sums;  // products point to them
  };
  struct Member {
    bool has_begun = false;
    unsigned started = 0, finished = 0;
    std::vector<unsigned> committed;
  };

  Group& group_of(int t) { return groups_[std::size_t(t / cuda::warpgroup)]; }
  Member& member(int t) { return members_[std::size_t(t)]; }

  // "Matrix descriptor": start in bits 0 ... 13, leading offset in 16 ... 29, stride in 32 ... 45, in units of 16
  // bytes; bits 62 and 63 are 1 for a swizzle over 128 bytes and 2 for one over 64, 49 to 51 are 0 where its pattern
  // starts at a multiple of those of 8 rows.
  static unsigned field(std::uint64_t descriptor, int bit) { return unsigned(descriptor >> bit & 0x3fffu) * 16; }
  static int row_bytes(std::uint64_t descriptor) { return descriptor >> 62 == 1 ? 128 : 64; }
  static unsigned swizzled(std::uint64_t descriptor, unsigned offset) {
    bool const has_swizzle = descriptor >> 62 == 1 || descriptor >> 62 == 2;
    ATTN_CHECK(has_swizzle && (descriptor >> 49 & 7u) == 0, "EmulatedHopper: a descriptor without a swizzle");
    unsigned const straight = field(descriptor, 0) + offset, exchanged = unsigned(row_bytes(descriptor) / 16 - 1);
    return (straight ^ (straight >> 7 & exchanged) << 4) - window;
  }
  /// Chunk c (0, 1) of the 32 bytes of a row: the layout that the PTX ISA calls K-major.
  static unsigned chunk(std::uint64_t descriptor, int row, int c) {
    return swizzled(descriptor,
                    unsigned(row / 8) * field(descriptor, 32) + unsigned(row % 8 * row_bytes(descriptor) + c * 16));
  }
  /// Chunk c of one of 16 rows, each chunk 8 columns: the layout that it calls MN-major.
  static unsigned row_chunk(std::uint64_t descriptor, int row, int c) {
    int const bytes = row_bytes(descriptor), chunks = bytes / 16;
    return swizzled(descriptor, unsigned(row / 8) * field(descriptor, 32) + unsigned(row % 8 * bytes) +
                                    unsigned(c / chunks) * field(descriptor, 16) + unsigned(c % chunks * 16));
  }
  /// Number `element` of the register or the chunk that starts there.
  static float number(cuda::Format format, void const* start, int element) {
    std::uint32_t bits = 0;
    int const bytes = element_bytes(format);
    std::memcpy(&bits, static_cast<unsigned char const*>(start) + bytes * element, std::size_t(bytes));
    if (format == cuda::Format::bf16) return float(half<cuda::Format::bf16>(bits, 0));
    if (format == cuda::Format::fp16) return float(half<cuda::Format::fp16>(bits, 0));
    auto const x = std::bit_cast<float>(bits);
    ATTN_CHECK((bits & 0x1fffu) == 0 || !std::isfinite(x), "EmulatedHopper: ", x, " is an operand, and no tf32");
    return x;
  }
  static int element_bytes(cuda::Format format) { return format == cuda::Format::tf32 ? 4 : 2; }

  /// Entry (row, column) of a sum lies where cuda/products.hpp draws it, 16 rows to a warp.
  template <class Work>
  static void for_entries(int thread, int n, Work const& work) {
    for (int r = 0; r < n / 2; ++r) {
      int const row = thread / 32 * 16 + r % 4 / 2 * 8 + thread % 32 / 4;
      work(r, std::size_t(row * n + r / 4 * 8 + thread % 4 * 2 + r % 2));
    }
  }
  static float poison() { return std::bit_cast<float>(0x7fbadbadu); }

  static Sum& take_sum(Group& g, std::array<Operands*, cuda::warpgroup> const& all, int n) {
    for (Sum& sum : g.sums) {
      if (sum.registers[0] == all[0]->sum) return sum;
    }
    Sum sum{n, {}, std::vector<float>(std::size_t(64 * n))};
    for (int t = 0; t < cuda::warpgroup; ++t) {
      Operands const& o = *all[std::size_t(t)];
      sum.registers[std::size_t(t)] = o.sum;
      for_entries(t, n, [&](int r, std::size_t entry) {
        if (o.keep) sum.entries[entry] = o.sum[r];
        o.sum[r] = poison();
      });
    }
    return g.sums.emplace_back(std::move(sum));
  }
  static void deliver(int t, Sum& sum) {
    std::size_t const at = std::size_t(t % cuda::warpgroup);
    for_entries(t % cuda::warpgroup, sum.n, [&](int r, std::size_t entry) {
      ATTN_CHECK(std::bit_cast<std::uint32_t>(sum.registers[at][r]) == std::bit_cast<std::uint32_t>(poison()),
                 "EmulatedHopper: thread ", t, " wrote a sum while a product made it");
      sum.registers[at][r] = sum.entries[entry];
    });
    sum.is_delivered[at] = true;
    ++sum.delivered;
  }

  void perform(Product& p) {
    int const k = 32 / element_bytes(p.format), in_chunk = k / 2, in_register = k / 8;
    std::vector<float> a(std::size_t(64 * k));
    std::vector<double> b(std::size_t(k * p.n));
    auto const in_memory = [&](unsigned at, int element) { return number(p.format, memory.data() + at, element); };
    for (int row = 0; row < 64; ++row) {
      for (int column = 0; column < k; ++column) {
        float& x = a[std::size_t(row * k + column)];
        if (!p.left.empty()) {  // registers 0, 2: rows 0 ... 7; 0, 1: the first half of the columns
          int const lane = row / 16 * 32 + row % 8 * 4 + column % in_chunk / in_register,
                    r = row % 16 / 8 + column / in_chunk * 2;
          x = number(p.format, &p.left_bits[std::size_t(4 * lane + r)], column % in_register);
        } else if (p.by_rows) {
          x = in_memory(chunk(p.a, row, column / in_chunk), column % in_chunk);
        } else {
          x = in_memory(row_chunk(p.a, column, row / 8), row % 8);
        }
      }
    }
    for (int i = 0; i < k; ++i) {
      for (int j = 0; j < p.n; ++j) {
        b[std::size_t(i * p.n + j)] = p.by_rows ? in_memory(chunk(p.b, j, i / in_chunk), i % in_chunk)
                                                : in_memory(row_chunk(p.b, i, j / 8), j % 8);
      }
    }
    std::vector<double> row_sum(std::size_t(p.n));
    double* const sum = row_sum.data();
    for (int row = 0; row < 64; ++row) {
      float* const out = &p.sum->entries[std::size_t(row * p.n)];
      for (int j = 0; j < p.n; ++j) sum[j] = p.keep ? double(out[j]) : 0;
      for (int i = 0; i < k; ++i) {
        double const x = a[std::size_t(row * k + i)];
        double const* const y = &b[std::size_t(i * p.n)];
#pragma omp simd
        for (int j = 0; j < p.n; ++j) sum[j] += x * y[j];
      }
#pragma omp simd
      for (int j = 0; j < p.n; ++j) out[j] = cut_off(sum[j]);
    }
    p.is_done = true;
  }

  std::vector<Group> groups_;
  std::vector<Member> members_;
  long registers_ = 0;
};

class EmulatedHopperBlock : public EmulatedLanes<WarpgroupEmulator> {
 public:
  EmulatedHopperBlock(WarpgroupEmulator& emulator, int thread, long index, long blocks)
      : EmulatedLanes(emulator, thread, index), blocks_(blocks) {}

  int group() const { return thread_ / cuda::warpgroup; }
  long blocks() const { return blocks_; }
  int anew(int x) const { return x; }
  template <class T>
  void settle(T&) const {}
  int of_first_lane(int x) const {
    emulator_->collective(thread_, "shfl of the first lane", x, [](std::array<int*, 32> const& all) {
      for (int* const mine : all) *mine = *all[0];
    });
    return x;
  }
  unsigned count(unsigned* number) const { return emulator_->count(number); }
  void barrier() const { emulator_->meet(thread_, 0, emulator_->n_threads); }
  void warp_barrier() const { emulator_->meet(thread_, thread_ / 32 * 32, 32); }
  void group_barrier(int) const {
    emulator_->meet(thread_, thread_ / cuda::warpgroup * cuda::warpgroup, cuda::warpgroup);
  }
  unsigned address(unsigned offset) const { return HopperEmulator::window + offset; }
  template <int n>
  void take_registers() const {
    emulator_->set_registers(n);
  }
  template <int n>
  void give_registers() const {
    emulator_->set_registers(n);
  }

  void init_barrier(unsigned at, int arrivals) const { emulator_->init_barrier(thread_, at, arrivals); }
  void publish_barriers() const { emulator_->publish_barriers(thread_); }
  void arrive(unsigned at) const { emulator_->arrive(thread_, at); }
  void arrive_expecting(unsigned at, int bytes) const { emulator_->arrive(thread_, at, bytes); }
  void wait(unsigned at, unsigned parity) const { emulator_->wait(thread_, at, parity); }
  template <int size>
  void copy_word(unsigned to, void const* from, int bytes) const {
    emulator_->copy_word(thread_, to, from, size, bytes);
  }
  void arrive_with_words(unsigned at) const { emulator_->arrive_with_words(thread_, at); }
  void load_box(unsigned to, EmulatedMap const& map, cuda::BoxPlace const& place, unsigned barrier) const {
    emulator_->load_box(thread_, to, map, place, barrier);
  }
  void store_box(EmulatedMap const& map, cuda::BoxPlace const& place, unsigned from) const {
    emulator_->store_box(thread_, map, place, from);
  }
  void wait_for_stores() const { emulator_->wait_for_stores(thread_); }
  void publish_writes() const { emulator_->publish_writes(thread_); }

  void begin_products() const { emulator_->begin(thread_); }
  void commit_products() const { emulator_->commit(thread_); }
  template <int pending, int n>
  void wait_for_products(float (&sum)[n][4]) const {
    emulator_->wait_for_sum(thread_, pending, sum[0]);
  }
  template <cuda::Format F, int n_tiles>
  void multiply_by_rows(float (&sum)[n_tiles][4], std::uint64_t a, std::uint64_t b, bool keep) const {
    WarpgroupEmulator::Operands mine{sum[0], nullptr, a, b, keep, true};
    emulator_->start<F>(thread_, 8 * n_tiles, mine);
  }
  template <cuda::Format F, int n_tiles>
  void multiply_by_rows(float (&sum)[n_tiles][4], std::uint32_t const (&a)[4], std::uint64_t b, bool keep) const {
    WarpgroupEmulator::Operands mine{sum[0], a, 0, b, keep, true};
    emulator_->start<F>(thread_, 8 * n_tiles, mine);
  }
  template <cuda::Format F, int n_tiles>
  void multiply_by_columns(float (&sum)[n_tiles][4], std::uint32_t const (&a)[4], std::uint64_t b) const {
    WarpgroupEmulator::Operands mine{sum[0], a, 0, b, true, false};
    emulator_->start<F>(thread_, 8 * n_tiles, mine);
  }
  template <cuda::Format F>
  void multiply_transposed(float (&sum)[8][4], std::uint64_t a, std::uint64_t b, bool keep) const {
    WarpgroupEmulator::Operands mine{sum[0], nullptr, a, b, keep, false};
    emulator_->start<F>(thread_, 64, mine);
  }

  void write_four(float* to, float const (&x)[4]) const {
    emulator_->touch(thread_, to);
    std::copy(x, x + 4, to);
  }
  void add_four(float* to, float const (&x)[4]) const {
    emulator_->touch(thread_, to);
    for (int i = 0; i < 4; ++i) to[i] += x[i];
  }
  void read_four(float const* from, float (&x)[4]) const {
    emulator_->touch(thread_, from);
    std::copy(from, from + 4, x);
  }
  void tell(unsigned* number, unsigned value) const { emulator_->tell(thread_, number, value); }
  void hear(unsigned const* number, unsigned value) const { emulator_->hear(thread_, number, value); }

 private:
  long blocks_;
};

}  // namespace attn_test
