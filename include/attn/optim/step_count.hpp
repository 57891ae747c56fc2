/// StepCount: where a part of a run counts its steps.
#pragma once

#include "attn/core/host_copy.hpp"

#include <cstdint>

namespace attn::optim {

/// The place of a count: a number of the host, or, of optimizers whose kernels count by themselves, one in `Memory`. It
/// points into the object that counts.
template <class Memory>
class StepCount {
 public:
  StepCount() = default;
  StepCount(std::uint64_t* count) : here_(count) {}

  /// A number in `Memory`.
  static StepCount there(std::uint64_t* count) {
    StepCount place;
    place.there_ = count;
    return place;
  }

  /// Waits for all work where kernels count.
  std::uint64_t get() const { return here_ != nullptr ? *here_ : host_copy<Memory>(there_, 1)[0]; }
  /// Waits for all work where kernels count.
  void set(std::uint64_t count) const {
    if (here_ != nullptr) {
      *here_ = count;
    } else {
      copy_from_host<Memory>(std::vector{count}, there_);
    }
  }

 private:
  std::uint64_t* here_ = nullptr;
  std::uint64_t* there_ = nullptr;
};

}  // namespace attn::optim
