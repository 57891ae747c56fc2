/// CudaBlock: what tensor-core kernels ask of the hardware, one inline instruction for each.
///
/// Kernels are templates over this type, so that tests run the same text on a host, where a block of fibers stands for
/// the threads (tests/attention/emulated_block.hpp). Requires sm_80; hopper/block.hpp has what sm_90a adds.
///
/// A *block* here is the warps that work on one tile. Short sequences need few warps, hence a block of CUDA may hold
/// `packed` of ours, which share nothing but the multiprocessor.
#pragma once

#include "attn/attention/detail/cuda/numbers.hpp"

namespace attn::detail::cuda {

/// 16 bytes, what one thread copies at a time.
struct alignas(16) Chunk {
  std::uint32_t words[4];
};

#if defined(KOKKOS_ENABLE_CUDA)

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define ATTN_DEVICE(...) __VA_ARGS__
#else
#define ATTN_DEVICE(...)
#endif

template <int warps, int packed = 1>
class CudaBlock {
 public:
  static constexpr int threads = 32 * warps;

  /// `shared_bytes` of each of the packed blocks, a multiple of 128.
  __device__ explicit CudaBlock(unsigned shared_bytes)
      : own_(packed == 1 ? 0 : threadIdx.x / threads), memory_(shared() + own_ * shared_bytes) {}

  ATTN_FUNCTION int thread() const {
    ATTN_DEVICE(return packed == 1 ? int(threadIdx.x) : int(threadIdx.x) % threads;)
    return 0;
  }
  ATTN_FUNCTION long index() const {
    ATTN_DEVICE(return long(blockIdx.x) * packed + own_;)
    return 0;
  }

  /// All threads of the block wait for one another, and see what they have written.
  ATTN_FUNCTION void barrier() const {
    if constexpr (warps == 1) {
      ATTN_DEVICE(__syncwarp();)
    } else if constexpr (packed == 1) {
      ATTN_DEVICE(__syncthreads();)
    } else {
      ATTN_DEVICE(asm volatile("bar.sync %0, %1;" ::"r"(own_ + 1), "n"(threads) : "memory");)
    }
  }

  /// Starts to copy `bytes` bytes to the 16 (`size`, 4 or 8) bytes at `to`; zeros fill the rest. `from` lies on a
  /// multiple of as many.
  ATTN_FUNCTION void copy_chunk(unsigned to, void const* from, int bytes) const {
    ATTN_DEVICE(asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address(to)), "l"(from), "r"(bytes)
                             : "memory");)
  }
  template <int size = 4>
  ATTN_FUNCTION void copy_word(unsigned to, void const* from, int bytes) const {
    ATTN_DEVICE(asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address(to)), "l"(from), "n"(size),
                             "r"(bytes)
                             : "memory");)
  }
  /// Waits for the copies that this thread has started; a barrier then shows them to the others.
  ATTN_FUNCTION void wait_for_copies() const { ATTN_DEVICE(asm volatile("cp.async.wait_all;" ::: "memory");) }

  template <class T>
  ATTN_FUNCTION T read(unsigned from) const {
    return *reinterpret_cast<T const*>(memory_ + from);
  }
  template <class T>
  ATTN_FUNCTION void write(unsigned to, T const& value) const {
    *reinterpret_cast<T*>(memory_ + to) = value;
  }

  /// Four matrices of 8 rows of 16 bytes, by all lanes of a warp: lane l names row l % 8 of matrix l / 8, and gets of
  /// each matrix the 4 bytes at 4 (l % 4) in row l / 4.
  ATTN_FUNCTION void load_matrices(std::uint32_t (&r)[4], unsigned row) const {
    ATTN_DEVICE(asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                             : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                             : "r"(address(row)));)
  }
  /// The same, each matrix of 8 x 8 numbers of 16 bits transposed.
  ATTN_FUNCTION void load_transposed(std::uint32_t (&r)[4], unsigned row) const {
    ATTN_DEVICE(asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                             : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                             : "r"(address(row)));)
  }

  /// c (16, 8) += a (16, k) b (k, 8), k = 16 numbers of 16 bits or 8 of tf32, by all lanes of a warp.
  template <Format F>
  ATTN_FUNCTION void multiply_add(float (&c)[4], std::uint32_t const (&a)[4], std::uint32_t b0,
                                  std::uint32_t b1) const {
    if constexpr (F == Format::fp16) {
      ATTN_DEVICE(asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                      "{%0,%1,%2,%3};"
                      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));)
    } else if constexpr (F == Format::bf16) {
      ATTN_DEVICE(asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                      "{%0,%1,%2,%3};"
                      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));)
    } else {
      ATTN_DEVICE(asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                      "{%0,%1,%2,%3};"
                      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));)
    }
  }

  /// What the lane whose number differs in the bits of `lanes` passes.
  ATTN_FUNCTION float exchange(float x, int lanes) const {
    ATTN_DEVICE(return __shfl_xor_sync(0xffffffffu, x, lanes);)
    return x;
  }
  /// What lane `lane` of each four neighbours passes.
  ATTN_FUNCTION float of_four(float x, int lane) const {
    ATTN_DEVICE(return __shfl_sync(0xffffffffu, x, lane, 4);)
    return x;
  }

 protected:
  static __device__ unsigned char* shared() {
    extern __shared__ __align__(1024) unsigned char attn_shared_memory[];  // as TMA's swizzle wants it
    return attn_shared_memory;
  }
  ATTN_FUNCTION unsigned address([[maybe_unused]] unsigned offset) const {
    ATTN_DEVICE(return static_cast<unsigned>(__cvta_generic_to_shared(memory_ + offset));)
    return 0;
  }

  unsigned own_;
  unsigned char* memory_;
};

#undef ATTN_DEVICE

#endif

}  // namespace attn::detail::cuda
