/// Event: a point in the work of an execution space that the host can wait for, whatever comes after it.
#pragma once

#include "attn/core/check.hpp"
#include "attn/core/concepts.hpp"

#include <optional>
#include <utility>

namespace attn {

/// `event.record(exec)` marks where the work of an instance is, `event.wait()` returns once all before the mark is
/// done; at once, if nothing was recorded. In this general form it waits for all work of the instance.
template <ExecutionSpace Exec>
class Event {
 public:
  void record(Exec const& exec) { exec_ = exec; }
  void wait() {
    if (exec_) exec_->fence("attn::Event");
    exec_.reset();
  }

 private:
  std::optional<Exec> exec_;
};

#if defined(KOKKOS_ENABLE_CUDA)
/// By an event of CUDA, made at the first mark.
template <>
class Event<Kokkos::Cuda> {
 public:
  Event() = default;
  Event(Event const&) = delete;
  Event& operator=(Event const&) = delete;
  ~Event() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }

  void record(Kokkos::Cuda const& exec) {
    if (event_ == nullptr) check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
    check(cudaEventRecord(event_, exec.cuda_stream()));
    recorded_ = true;
  }
  void wait() {
    if (std::exchange(recorded_, false)) check(cudaEventSynchronize(event_));
  }

 private:
  static void check(cudaError_t status) {
    ATTN_CHECK(status == cudaSuccess, "Event: work on the device before it failed: ", cudaGetErrorString(status));
  }

  cudaEvent_t event_ = nullptr;
  bool recorded_ = false;
};
#endif

}  // namespace attn
