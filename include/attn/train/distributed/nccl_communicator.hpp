/// NcclCommunicator: ranks with a GPU each, whose slices NCCL adds where they lie. Needs NCCL's header and a Kokkos
/// with CUDA; MPI starts it and does what is small.
#pragma once

#include "attn/train/distributed/mpi_communicator.hpp"

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <exception>
#include <span>
#include <string>
#include <vector>

namespace attn::train {

/// Sums run on a stream of their own: they begin when the work before them is done, and the work behind `finish` begins
/// when they are; the host waits for neither. The order in which NCCL adds is fixed for a number of ranks and a machine
/// of one kind, as long as NCCL_ALGO and NCCL_PROTO are; NCCL promises nothing beyond.
class NcclCommunicator {
 public:
  explicit NcclCommunicator(MpiOptions const& options = {}) : mpi_(options) {
    if (mpi_.size() == 1) return;
    ncclUniqueId id{};
    if (mpi_.rank() == 0) check(ncclGetUniqueId(&id), "beginning NCCL");
    std::string const first = mpi_.gather(std::string(id.internal, sizeof id.internal))[0];
    first.copy(id.internal, sizeof id.internal);
    check(ncclCommInitRank(&world_, mpi_.size(), id, mpi_.rank()), "beginning NCCL");
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "beginning NCCL");
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "beginning NCCL");
  }
  NcclCommunicator(NcclCommunicator const&) = delete;
  NcclCommunicator& operator=(NcclCommunicator const&) = delete;
  ~NcclCommunicator() {
    if (world_ == nullptr) return;
    if (!broken_.empty() || std::uncaught_exceptions() > 0) {
      ncclCommAbort(world_);
    } else {
      ncclCommDestroy(world_);
    }
    cudaEventDestroy(event_);
    cudaStreamDestroy(stream_);
  }

  int rank() const { return mpi_.rank(); }
  int size() const { return mpi_.size(); }

  template <class Exec, class T>
  void start(Exec const& exec, Tensor<T, 1, typename Exec::memory_space> const& slice) {
    refuse_after_error();
    if (size() == 1 || slice.extent(0) == 0) return;
    behind(exec.cuda_stream(), stream_);
    check(
        ncclAllReduce(slice.data(), slice.data(), std::size_t(slice.extent(0)), type_of<T>(), ncclSum, world_, stream_),
        "adding gradients");
  }
  template <class Exec>
  void finish(Exec const& exec) {
    refuse_after_error();
    if (size() == 1) return;
    behind(stream_, exec.cuda_stream());
    ncclResult_t state = ncclSuccess;
    check(ncclCommGetAsyncError(world_, &state), "adding gradients");
    check(state, "adding gradients");
  }

  template <class Exec, class T>
  void gather_slices(Exec const& exec, Tensor<T, 1, typename Exec::memory_space> const& all) {
    refuse_after_error();
    if (size() == 1) return;
    check(ncclGroupStart(), "gathering parameters");
    for (int r = 0; r < size(); ++r) {
      Stretch const s = stretch_of(all.extent(0), r, size());
      T* const at = all.data() + s.first;
      if (s.extent() == 0) continue;
      check(ncclBroadcast(at, at, std::size_t(s.extent()), type_of<T>(), r, world_, exec.cuda_stream()),
            "gathering parameters");
    }
    check(ncclGroupEnd(), "gathering parameters");
  }

  void sum(std::span<double> numbers) { mpi_.sum(numbers); }
  std::vector<std::string> gather(std::string const& record) { return mpi_.gather(record); }
  void barrier() { mpi_.barrier(); }

 private:
  template <class T>
  static ncclDataType_t type_of() {
    static_assert(std::same_as<T, float> || std::same_as<T, double>, "NcclCommunicator: sum floats or doubles");
    return std::same_as<T, float> ? ncclFloat : ncclDouble;
  }

  /// What comes on `later` waits for what is on `earlier` now.
  void behind(cudaStream_t earlier, cudaStream_t later) {
    check(cudaEventRecord(event_, earlier), "ordering streams");
    check(cudaStreamWaitEvent(later, event_, 0), "ordering streams");
  }

  void refuse_after_error() const {
    if (!broken_.empty()) throw io::FailedRun("NcclCommunicator: end this run, for " + broken_);
  }
  void check(ncclResult_t result, char const* doing) {
    if (result != ncclSuccess) fail(doing, ncclGetErrorString(result));
  }
  void check(cudaError_t error, char const* doing) {
    if (error != cudaSuccess) fail(doing, cudaGetErrorString(error));
  }
  void fail(char const* doing, char const* why) {
    broken_ = why;
    throw io::FailedRun("rank " + std::to_string(rank()) + " of " + std::to_string(size()) + ": " + doing +
                        " failed: " + why);
  }

  MpiCommunicator mpi_;
  ncclComm_t world_ = nullptr;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t event_ = nullptr;
  std::string broken_;
};

}  // namespace attn::train
