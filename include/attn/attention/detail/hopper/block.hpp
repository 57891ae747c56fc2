/// HopperBlock: what kernels for Hopper ask of the hardware beyond CudaBlock: copies by TMA, barriers that count
/// arrivals and bytes, products of warpgroups, and sums that blocks add to in turn. Requires sm_90a.
///
/// ATTN_CUDA_HOPPER switches these kernels on. They want -gencode=arch=compute_90a,code=sm_90a in place of -arch=sm_90:
/// code for sm_90 alone has none of these instructions. Names are those of "Parallel Thread Execution ISA".
#pragma once

#include "attn/attention/detail/cuda/block.hpp"

#if defined(ATTN_CUDA_HOPPER) && defined(KOKKOS_ENABLE_CUDA)
#include <cuda.h>

#include <cuda/ptx>
#endif

namespace attn::detail::cuda {

/// The first element of a box of a tensor (B, H, N, D) that TMA copies.
struct BoxPlace {
  int column, row, head, batch;
};

/// Four warps, which multiply together.
inline constexpr int warpgroup = 128;

#if defined(ATTN_CUDA_HOPPER) && defined(KOKKOS_ENABLE_CUDA)

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define ATTN_HOPPER(...) __VA_ARGS__
#else
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 900
#error "attn: ATTN_CUDA_HOPPER wants -gencode=arch=compute_90a,code=sm_90a in place of -arch=sm_90"
#endif
#define ATTN_HOPPER(...)
#endif

// wgmma of n columns: the registers of the sum, their places in the text of the instruction, and the instruction. p0
// ... are the places of its other operands.
#define ATTN_TILE(i) "+f"(sum[i][0]), "+f"(sum[i][1]), "+f"(sum[i][2]), "+f"(sum[i][3])
#define ATTN_TILES(i) ATTN_TILE(i), ATTN_TILE(i + 1), ATTN_TILE(i + 2), ATTN_TILE(i + 3)
#define ATTN_SUM_32 ATTN_TILES(0)
#define ATTN_SUM_64 ATTN_SUM_32, ATTN_TILES(4)
#define ATTN_SUM_128 ATTN_SUM_64, ATTN_TILES(8), ATTN_TILES(12)
#define ATTN_PLACES_32 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define ATTN_PLACES_64 ATTN_PLACES_32 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define ATTN_PLACES_128                                                                                               \
  ATTN_PLACES_64                                                                                                      \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59," \
  "%60,%61,%62,%63"
#define ATTN_WGMMA(n, type) "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" ATTN_PLACES_##n "}, "
#define ATTN_OF_MEMORY(n, type, transposed, p0, p1, p2)                                                         \
  asm volatile("{.reg .pred keep; setp.ne.b32 keep, %" #p2                                                      \
               ", 0; " ATTN_WGMMA(n, type) "%" #p0 ", %" #p1 ", keep, 1, 1, " #transposed ", " #transposed ";}" \
               : ATTN_SUM_##n                                                                                   \
               : "l"(a), "l"(b), "r"(int(keep)));
#define ATTN_BY_ROWS(n, type, p0, p1, p2) ATTN_OF_MEMORY(n, type, 0, p0, p1, p2)
#define ATTN_BY_COLUMNS(n, type, p0, p1, p2, p3, p4)                                                                \
  asm volatile("{.reg .pred keep; setp.ne.b32 keep, 1, 0; " ATTN_WGMMA(n, type) "{%" #p0 ",%" #p1 ",%" #p2 ",%" #p3 \
                                                                                "}, %" #p4 ", keep, 1, 1, 1;}"      \
               : ATTN_SUM_##n                                                                                       \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));

// tf32 has rows alone; the left operand in registers.
#define ATTN_BY_ROWS_OF_TF32(n, p0, p1, p2, p3, p4, p5)                                                                \
  asm volatile("{.reg .pred keep; setp.ne.b32 keep, %" #p5 ", 0; wgmma.mma_async.sync.aligned.m64n" #n                 \
               "k8.f32.tf32.tf32 {" ATTN_PLACES_##n "}, {%" #p0 ",%" #p1 ",%" #p2 ",%" #p3 "}, %" #p4 ", keep, 1, 1;}" \
               : ATTN_SUM_##n                                                                                          \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(keep)));

template <int warps>
class HopperBlock : public CudaBlock<warps> {
  using Base = CudaBlock<warps>;

 public:
  __device__ HopperBlock() : Base(0) {}

  /// A number that the compiler knows to be the same in all lanes of a warp.
  ATTN_FUNCTION int group() const {
    ATTN_HOPPER(return __shfl_sync(0xffffffffu, int(threadIdx.x) / warpgroup, 0);)
    return 0;
  }
  /// Read where it is asked for: kept, it would take a register.
  ATTN_FUNCTION long blocks() const {
    ATTN_HOPPER(unsigned n; asm volatile("mov.u32 %0, %%nctaid.x;" : "=r"(n)); return long(n);)
    return 1;
  }
  /// x as a number that the compiler knows nothing of: what follows from it is computed here, and not, since registers
  /// are few, kept from somewhere before.
  ATTN_FUNCTION int anew(int x) const {
    ATTN_HOPPER(asm volatile("" : "+r"(x));)
    return x;
  }
  /// x as a number that waits for y: what follows from it is not begun, and its registers not taken, before. Blocks
  /// have no second number, and the compiler does not know.
  ATTN_FUNCTION unsigned after([[maybe_unused]] float y, unsigned x) const {
    ATTN_HOPPER(return x | (__float_as_uint(y) & blockIdx.y);)
    return x;
  }
  /// x is computed before products that follow: who reads registers that a product writes to stops all of them.
  ATTN_FUNCTION void settle(float& x) const { ATTN_HOPPER(asm volatile("" : "+f"(x)::"memory");) }
  ATTN_FUNCTION void settle(std::uint32_t& x) const { ATTN_HOPPER(asm volatile("" : "+r"(x)::"memory");) }
  /// x of the first lane of the warp, which the compiler then knows to be the same in all.
  ATTN_FUNCTION int of_first_lane(int x) const {
    ATTN_HOPPER(return __shfl_sync(0xffffffffu, x, 0);)
    return x;
  }
  /// Adds one to a number that all blocks count by, and returns what it was.
  ATTN_FUNCTION unsigned count(unsigned* number) const {
    ATTN_HOPPER(return atomicAdd(number, 1u);)
    return *number;
  }
  ATTN_FUNCTION void warp_barrier() const { ATTN_HOPPER(__syncwarp();) }
  /// The threads of one warpgroup wait for one another.
  ATTN_FUNCTION void group_barrier(int group) const {
    ATTN_HOPPER(asm volatile("bar.sync %0, %1;" ::"r"(group + 1), "n"(warpgroup) : "memory");)
  }
  /// The address that descriptors of operands want.
  ATTN_FUNCTION unsigned address(unsigned offset) const { return Base::address(offset); }

  /// All threads of a warpgroup change how many registers each has.
  template <int n>
  ATTN_FUNCTION void take_registers() const {
    ATTN_HOPPER(asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(n));)
  }
  template <int n>
  ATTN_FUNCTION void give_registers() const {
    ATTN_HOPPER(asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(n));)
  }

  /// A phase of the barrier of 8 bytes at `at` is complete after `arrivals` arrivals and all expected bytes.
  ATTN_FUNCTION void init_barrier(unsigned at, int arrivals) const {
    ATTN_HOPPER(::cuda::ptx::mbarrier_init(barrier_at(at), unsigned(arrivals));)
  }
  /// What this thread initialised is seen by TMA, and after a barrier by other threads.
  ATTN_FUNCTION void publish_barriers() const {
    ATTN_HOPPER(::cuda::ptx::fence_mbarrier_init(::cuda::ptx::sem_release, ::cuda::ptx::scope_cluster);)
  }
  ATTN_FUNCTION void arrive(unsigned at) const { ATTN_HOPPER((void)::cuda::ptx::mbarrier_arrive(barrier_at(at));) }
  ATTN_FUNCTION void arrive_expecting(unsigned at, int bytes) const {
    ATTN_HOPPER((void)::cuda::ptx::mbarrier_arrive_expect_tx(::cuda::ptx::sem_release, ::cuda::ptx::scope_cta,
                                                             ::cuda::ptx::space_shared, barrier_at(at),
                                                             unsigned(bytes));)
  }
  /// Arrives when all words that this thread has started to copy (`copy_word`) are there, and does not wait for them.
  ATTN_FUNCTION void arrive_with_words(unsigned at) const {
    ATTN_HOPPER(asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(address(at)) : "memory");)
  }
  /// Waits for the end of the phase that has this parity; a new barrier is in phase 0, behind one of parity 1.
  ATTN_FUNCTION void wait(unsigned at, unsigned parity) const {
    ATTN_HOPPER(while (!::cuda::ptx::mbarrier_try_wait_parity(barrier_at(at), parity)){})
  }

  /// Starts to copy a box to `to`; its bytes arrive at a barrier. What lies outside of the tensor becomes zero.
  template <class Map>
  ATTN_FUNCTION void load_box(unsigned to, Map const& map, BoxPlace const& place, unsigned barrier) const {
    ATTN_HOPPER(int const from[] = {place.column, place.row, place.head, place.batch};
                ::cuda::ptx::cp_async_bulk_tensor(::cuda::ptx::space_cluster, ::cuda::ptx::space_global,
                                                  this->memory_ + to, &map, from, barrier_at(barrier));)
  }
  /// Starts to copy to a box; what lies outside of the tensor is not written.
  template <class Map>
  ATTN_FUNCTION void store_box(Map const& map, BoxPlace const& place, unsigned from) const {
    ATTN_HOPPER(int const to[] = {place.column, place.row, place.head, place.batch}; ::cuda::ptx::cp_async_bulk_tensor(
                    ::cuda::ptx::space_global, ::cuda::ptx::space_shared, &map, to, this->memory_ + from);)
  }
  /// Waits until all boxes that this thread stores are read, so that their place is free.
  ATTN_FUNCTION void wait_for_stores() const {
    ATTN_HOPPER(::cuda::ptx::cp_async_bulk_commit_group();
                ::cuda::ptx::cp_async_bulk_wait_group_read(::cuda::ptx::n32_t<0>());)
  }
  /// What this thread has written to shared memory is, after a barrier, seen by TMA and by products.
  ATTN_FUNCTION void publish_writes() const { ATTN_HOPPER(::cuda::ptx::fence_proxy_async(::cuda::ptx::space_shared);) }

  /// Before products: what this thread has put into registers is seen by them.
  ATTN_FUNCTION void begin_products() const { ATTN_HOPPER(asm volatile("wgmma.fence.sync.aligned;" ::: "memory");) }
  ATTN_FUNCTION void commit_products() const {
    ATTN_HOPPER(asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");)
  }
  /// Waits for all groups of products but the last `pending`, among them those that make `sum`.
  template <int pending, int n>
  ATTN_FUNCTION void wait_for_products(float (&sum)[n][4]) const {
    ATTN_HOPPER(asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending)
                             : "memory");
                ATTN_UNROLL for (int i = 0; i < 4 * n; ++i) asm volatile(""
                                                                         : "+f"(sum[i / 4][i % 4])::"memory");)
  }

  /// sum (64, 8 n_tiles) = a (64, 16) b^T, plus its earlier value where `keep`; rows of a and b as descriptors say.
  template <Format F, int n_tiles>
  ATTN_FUNCTION void multiply_by_rows(float (&sum)[n_tiles][4], std::uint64_t a, std::uint64_t b, bool keep) const {
    static_assert(is_narrow<F> && (n_tiles == 4 || n_tiles == 8 || n_tiles == 16));
    if constexpr (n_tiles == 4 && F == Format::bf16) {
      ATTN_HOPPER(ATTN_BY_ROWS(32, "bf16", 16, 17, 18))
    } else if constexpr (n_tiles == 4) {
      ATTN_HOPPER(ATTN_BY_ROWS(32, "f16", 16, 17, 18))
    } else if constexpr (n_tiles == 8 && F == Format::bf16) {
      ATTN_HOPPER(ATTN_BY_ROWS(64, "bf16", 32, 33, 34))
    } else if constexpr (n_tiles == 8) {
      ATTN_HOPPER(ATTN_BY_ROWS(64, "f16", 32, 33, 34))
    } else if constexpr (F == Format::bf16) {
      ATTN_HOPPER(ATTN_BY_ROWS(128, "bf16", 64, 65, 66))
    } else {
      ATTN_HOPPER(ATTN_BY_ROWS(128, "f16", 64, 65, 66))
    }
  }
  /// sum (64, 8 n_tiles) += a (64, 16) b; a as left operands of mma.sync lie in the registers of each warp, columns of
  /// b as its descriptor says.
  template <Format F, int n_tiles>
  ATTN_FUNCTION void multiply_by_columns(float (&sum)[n_tiles][4], std::uint32_t const (&a)[4], std::uint64_t b) const {
    static_assert(is_narrow<F> && (n_tiles == 4 || n_tiles == 8 || n_tiles == 16));
    if constexpr (n_tiles == 4 && F == Format::bf16) {
      ATTN_HOPPER(ATTN_BY_COLUMNS(32, "bf16", 16, 17, 18, 19, 20))
    } else if constexpr (n_tiles == 4) {
      ATTN_HOPPER(ATTN_BY_COLUMNS(32, "f16", 16, 17, 18, 19, 20))
    } else if constexpr (n_tiles == 8 && F == Format::bf16) {
      ATTN_HOPPER(ATTN_BY_COLUMNS(64, "bf16", 32, 33, 34, 35, 36))
    } else if constexpr (n_tiles == 8) {
      ATTN_HOPPER(ATTN_BY_COLUMNS(64, "f16", 32, 33, 34, 35, 36))
    } else if constexpr (F == Format::bf16) {
      ATTN_HOPPER(ATTN_BY_COLUMNS(128, "bf16", 64, 65, 66, 67, 68))
    } else {
      ATTN_HOPPER(ATTN_BY_COLUMNS(128, "f16", 64, 65, 66, 67, 68))
    }
  }
  /// sum (64, 8 n_tiles) = a (64, 8) b^T in tf32, plus its earlier value where `keep`; a as left operands of mma.sync
  /// lie in the registers of each warp, rows of b as its descriptor says.
  template <Format F, int n_tiles>
  ATTN_FUNCTION void multiply_by_rows(float (&sum)[n_tiles][4], std::uint32_t const (&a)[4], std::uint64_t b,
                                      bool keep) const {
    static_assert(F == Format::tf32 && (n_tiles == 4 || n_tiles == 8 || n_tiles == 16));
    if constexpr (n_tiles == 4) {
      ATTN_HOPPER(ATTN_BY_ROWS_OF_TF32(32, 16, 17, 18, 19, 20, 21))
    } else if constexpr (n_tiles == 8) {
      ATTN_HOPPER(ATTN_BY_ROWS_OF_TF32(64, 32, 33, 34, 35, 36, 37))
    } else {
      ATTN_HOPPER(ATTN_BY_ROWS_OF_TF32(128, 64, 65, 66, 67, 68, 69))
    }
  }
  /// sum (64, 64) = a^T b, plus its earlier value where `keep`, with a (16, 64) and b (16, 64) as descriptors say.
  template <Format F>
  ATTN_FUNCTION void multiply_transposed(float (&sum)[8][4], std::uint64_t a, std::uint64_t b, bool keep) const {
    static_assert(is_narrow<F>);
    if constexpr (F == Format::bf16) {
      ATTN_HOPPER(ATTN_OF_MEMORY(64, "bf16", 1, 32, 33, 34))
    } else {
      ATTN_HOPPER(ATTN_OF_MEMORY(64, "f16", 1, 32, 33, 34))
    }
  }

  // Sums in memory that blocks share, four numbers at a time. Whoever touches one has heard of those who did before.

  ATTN_FUNCTION void write_four(float* to, float const (&x)[4]) const {
    ATTN_HOPPER(
        asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(x[0]), "f"(x[1]), "f"(x[2]), "f"(x[3])
                     : "memory");)
  }
  /// Memory adds; this thread does not wait.
  ATTN_FUNCTION void add_four(float* to, float const (&x)[4]) const {
    ATTN_HOPPER(asm volatile("red.relaxed.gpu.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(x[0]),
                             "f"(x[1]), "f"(x[2]), "f"(x[3])
                             : "memory");)
  }
  ATTN_FUNCTION void read_four(float const* from, float (&x)[4]) const {
    ATTN_HOPPER(asm volatile("ld.global.v4.f32 {%0, %1, %2, %3}, [%4];"
                             : "=f"(x[0]), "=f"(x[1]), "=f"(x[2]), "=f"(x[3])
                             : "l"(from)
                             : "memory");)
  }
  /// Tells other blocks a number, and with it all that this thread knows to be done.
  ATTN_FUNCTION void tell(unsigned* number, unsigned value) const {
    ATTN_HOPPER(asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(number), "r"(value) : "memory");)
  }
  /// Waits until another block has told at least `value`.
  ATTN_FUNCTION void hear(unsigned const* number, unsigned value) const {
    [[maybe_unused]] unsigned told = value;
    ATTN_HOPPER(do {
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(told) : "l"(number) : "memory");
    } while (told < value);)
  }

 private:
  ATTN_FUNCTION std::uint64_t* barrier_at(unsigned at) const {
    return reinterpret_cast<std::uint64_t*>(this->memory_ + at);
  }
};

#undef ATTN_HOPPER
#undef ATTN_TILE
#undef ATTN_TILES
#undef ATTN_SUM_32
#undef ATTN_SUM_64
#undef ATTN_SUM_128
#undef ATTN_PLACES_32
#undef ATTN_PLACES_64
#undef ATTN_PLACES_128
#undef ATTN_WGMMA
#undef ATTN_OF_MEMORY
#undef ATTN_BY_ROWS
#undef ATTN_BY_COLUMNS
#undef ATTN_BY_ROWS_OF_TF32

#endif

}  // namespace attn::detail::cuda
