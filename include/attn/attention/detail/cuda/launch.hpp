/// Launches of tensor-core kernels on the stream of an instance of Kokkos::Cuda, and which calls they serve.
///
/// Each head width has kernels of its own. ATTN_CUDA_WIDTHS, a sum out of 16, 32, 64, 128 and 256 (`32+64`; nvcc splits
/// lists at commas), says for which ones to compile them: a program whose heads are all 64 wide compiles five times as
/// fast with 64 alone. Other widths take the next larger one, or, beyond the last, the portable kernels; an empty sum
/// leaves those alone.
#pragma once

#include "attn/attention/detail/cuda/tile_shapes.hpp"

#include <limits>
#include <string>

#if !defined(ATTN_CUDA_WIDTHS)
#define ATTN_CUDA_WIDTHS 16 + 32 + 64 + 128 + 256
#endif

namespace attn::detail::cuda {

/// The widths that have kernels: each is a power of two, and their sum has a bit for each.
inline constexpr int compiled_widths = ATTN_CUDA_WIDTHS + 0;
static_assert(compiled_widths >= 0 && compiled_widths % 16 == 0 && compiled_widths < 512,
              "ATTN_CUDA_WIDTHS: give a sum out of 16, 32, 64, 128 and 256, each at most once: "
              "-DATTN_CUDA_WIDTHS=32+64");

/// Whether rows of `columns` have kernels.
constexpr bool has_width(Index columns) {
  Index largest = 0;
  for (int width = 16; width <= 256; width *= 2) largest = (compiled_widths & width) != 0 ? width : largest;
  return columns > 0 && columns <= largest;
}

/// Calls work(width) with the smallest width that has kernels for rows of `columns`; false where there is none.
template <int width = 16, class Work>
bool with_width(Index columns, Work const& work) {
  if constexpr (width > 256) {
    return false;
  } else {
    if constexpr ((compiled_widths & width) != 0) {
      if (columns > 0 && columns <= width) {
        work(std::integral_constant<int, width>());
        return true;
      }
    }
    return with_width<2 * width>(columns, work);
  }
}

template <class Work>
void with_length(Length length, Work const& work) {
  switch (length) {
    case Length::tiny:
      return work(std::integral_constant<Length, Length::tiny>());
    case Length::small:
      return work(std::integral_constant<Length, Length::small>());
    case Length::any:
      return work(std::integral_constant<Length, Length::any>());
  }
}

/// What is in a region's name: "tensor cores, bf16, width 64".
inline std::string cores_name(std::string const& cores, Format format, int width) {
  char const* const names[] = {"fp16", "bf16", "tf32", "fp32 by tf32"};
  return cores + ", " + names[int(format)] + ", width " + std::to_string(width);
}

/// fp32 is multiplied as options say, other numbers as they are stored.
template <class X, class Products>
inline constexpr Format format_for =
    std::same_as<X, float>&& std::same_as<Products, Tf32Products> ? Format::tf32 : format_of<X>;

#if defined(KOKKOS_ENABLE_CUDA)

#if defined(__CUDACC__)

template <class Kernel>
__global__ void __launch_bounds__(Kernel::Shape::threads* Kernel::Shape::packed) run_kernel(Kernel const kernel) {
  CudaBlock<Kernel::Shape::warps, Kernel::Shape::packed> const block(Kernel::shared_bytes);
  if (block.index() < kernel.blocks()) kernel(block);
}

/// Kernels count their tiles as int.
inline void check_blocks(Index blocks) {
  ATTN_CHECK(blocks <= std::numeric_limits<int>::max(), "attention: split the batch, it needs ", blocks,
             " blocks of threads, more than ", std::numeric_limits<int>::max());
}

/// Asynchronous on `exec`.
template <class Kernel>
void launch(Kokkos::Cuda const& exec, void (*run)(Kernel), Kernel const& kernel, Index blocks, int threads,
            unsigned bytes) {
  cudaError_t status = cudaSetDevice(exec.cuda_device());
  if (status == cudaSuccess && bytes > 48 * 1024) {  // beyond what any kernel may have without asking
    status = cudaFuncSetAttribute(run, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes));
  }
  if (status == cudaSuccess) {
    run<<<unsigned(blocks), unsigned(threads), bytes, exec.cuda_stream()>>>(kernel);
    status = cudaGetLastError();
  }
  ATTN_CHECK(status == cudaSuccess, "attention: CUDA could not launch a kernel of ", blocks, " blocks of ", threads,
             " threads and ", bytes, " bytes: ", cudaGetErrorString(status));
}
template <class Kernel>
void launch(Kokkos::Cuda const& exec, Kernel const& kernel) {
  constexpr int packed = Kernel::Shape::packed;
  Index const blocks = (kernel.blocks() + packed - 1) / packed;
  if (blocks == 0) return;
  check_blocks(blocks * packed);
  launch(exec, run_kernel<Kernel>, kernel, blocks, Kernel::Shape::threads * packed, Kernel::shared_bytes * packed);
}

#endif

/// Whether the device has tensor cores for these formats (sm_80), and the shared memory of the largest kernels.
inline bool has_tensor_cores(Kokkos::Cuda const& exec, unsigned shared_bytes) {
  auto const& device = exec.cuda_device_prop();
  return device.major >= 8 && device.sharedMemPerBlockOptin >= shared_bytes;
}

#endif

}  // namespace attn::detail::cuda
