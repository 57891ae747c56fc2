// Compiled where the headers of NCCL and CUDA are at hand, with a space that only looks like one of a GPU; not run.
#include "attn/train/distributed/nccl_communicator.hpp"

namespace {

struct DeviceSpace {
  using memory_space = Kokkos::HostSpace;
  cudaStream_t cuda_stream() const { return nullptr; }
};

static_assert(attn::train::Communicator<attn::train::NcclCommunicator, DeviceSpace, float>);

}  // namespace

void use(attn::train::NcclCommunicator& c, attn::Tensor<float, 1, Kokkos::HostSpace> const& slice) {
  c.start(DeviceSpace(), slice);
  c.finish(DeviceSpace());
  c.gather_slices(DeviceSpace(), slice);
}
