/// Threads of an emulated block: fibers that meet at instructions which they perform together.
#pragma once

#include "attn/attention/detail/cuda/numbers.hpp"
#include "attn/core/check.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "fibers.hpp"

namespace attn_test {

namespace cuda = attn::detail::cuda;

class EmulatedThreads {
 public:
  explicit EmulatedThreads(int n) : n_threads(n) {}

  void run(std::function<void(int)> const& body) {
    meetings_.assign(std::size_t(2 * n_threads), {});
    fibers_.run(n_threads, body);
  }

  /// All threads of a warp, or of `size` threads, bring an operand; the last to come lets `perform` work on them.
  template <int size = 32, class Operand, class Perform>
  void collective(int thread, char const* name, Operand& mine, Perform const& perform) {
    int const first = thread / size * size;
    Meeting& meeting = meetings_[std::size_t(size == 32 ? first : n_threads + first)];
    meeting.operands.resize(size);
    if (meeting.arrived == 0) meeting.name = name;
    ATTN_CHECK(meeting.name == name, "EmulatedBlock: lanes of a warp meet at ", meeting.name, " and ", name);
    meeting.operands[std::size_t(thread - first)] = &mine;
    if (++meeting.arrived == size) {
      std::array<Operand*, size> all;
      for (std::size_t l = 0; l < size; ++l) all[l] = static_cast<Operand*>(meeting.operands[l]);
      perform(all);
      meeting.arrived = 0;
      ++meeting.generation;
      fibers_.progress();
      return;
    }
    long const generation = meeting.generation;
    wait_until([&] { return meeting.generation != generation; }, first, size);
  }

  /// Lets other fibers of first ... first + count - 1 run until `is_met` is true.
  template <class Condition>
  void wait_until(Condition const& is_met, int first, int count) {
    while (!is_met()) fibers_.yield(first, count);
  }
  void progress() { fibers_.progress(); }

  int n_threads;

 private:
  struct Meeting {
    std::string name;
    std::vector<void*> operands;
    int arrived = 0;
    long generation = 0;
  };

  std::vector<Meeting> meetings_;
  Fibers fibers_;
};

/// What lanes of a warp pass one another, and what they read and write in shared memory.
template <class Emulator>
class EmulatedLanes {
 public:
  EmulatedLanes(Emulator& emulator, int thread, long index) : emulator_(&emulator), thread_(thread), index_(index) {}

  int thread() const { return thread_; }
  long index() const { return index_; }

  template <class T>
  T read(unsigned from) const {
    T value;
    emulator_->reads(thread_, from, sizeof(T));
    std::memcpy(&value, emulator_->memory.data() + from, sizeof(T));
    return value;
  }
  template <class T>
  void write(unsigned to, T const& value) const {
    emulator_->wrote(thread_, to, sizeof(T));
    std::memcpy(emulator_->memory.data() + to, &value, sizeof(T));
  }

  float exchange(float x, int bits) const {
    struct Operand {
      float x;
      int bits;
    } mine{x, bits};
    float result = 0;
    pass(mine, "shfl.bfly", result, [](std::size_t l, Operand const& o) { return l ^ std::size_t(o.bits); });
    return result;
  }
  float of_four(float x, int lane) const {
    struct Operand {
      float x;
      int lane;
    } mine{x, lane};
    float result = 0;
    pass(mine, "shfl.idx", result, [](std::size_t l, Operand const& o) { return l / 4 * 4 + std::size_t(o.lane); });
    return result;
  }

 protected:
  Emulator* emulator_;
  int thread_;
  long index_;

 private:
  template <class Operand, class Source>
  void pass(Operand& mine, char const* name, float& result, Source const& source) const {
    struct Both {
      Operand* operand;
      float* result;
    } both{&mine, &result};
    emulator_->collective(thread_, name, both, [&](std::array<Both*, 32> const& lanes) {
      for (std::size_t l = 0; l < 32; ++l) *lanes[l]->result = lanes[source(l, *lanes[l]->operand)]->operand->x;
    });
  }
};

/// The number in the lower (e = 0) or upper half of a register.
template <cuda::Format F>
double half(std::uint32_t bits, int e) {
  std::uint32_t const x = e == 0 ? bits & 0xffffu : bits >> 16;
  using Narrow = std::conditional_t<F == cuda::Format::bf16, attn::BFloat16, attn::Float16>;
  Narrow number;
  number.bits = static_cast<std::uint16_t>(x);
  return double(float(number));
}

/// Tensor cores add products exactly and cut the sum off, where fp32 arithmetic would round it. The number before, in
/// bits, is the next one to zero; std::nextafter took a fifth of the time of these tests.
inline float cut_off(double sum) {
  float const nearest = float(sum);
  bool const is_too_large = std::abs(double(nearest)) > std::abs(sum);
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(nearest) - std::uint32_t(is_too_large));
}

}  // namespace attn_test
