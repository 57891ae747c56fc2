/// Launches of the kernels for Hopper, and which calls they serve: forward and backward passes of bf16, fp16 and tf32.
#pragma once

#include "attn/attention/detail/choose.hpp"
#include "attn/attention/detail/cuda/launch.hpp"
#include "attn/attention/detail/hopper/backward.hpp"
#include "attn/attention/detail/hopper/backward_launches.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace attn::detail::cuda {

/// Whether TMA can copy boxes of a tensor, which asks for alignment: its strides between rows, heads and sequences are
/// multiples of 16 bytes, positive and less than 2^40.
template <class X, class Memory>
bool has_boxes(Tensor<X, 4, Memory> const& x) {
  bool fits = has_aligned_rows(x) && x.size() > 0;
  for (int r = 0; r < 3; ++r) {
    fits = fits && (x.extent(r) == 1 || (x.stride(r) > 0 && x.stride(r) < (Index(1) << 40) / Index(sizeof(X))));
  }
  return fits;
}

/// For rows of `width` columns. Shared memory has no room for queries, keys and values of tf32 of 256, nor, backward,
/// for own rows of 128, streamed ones and these transposed.
template <Format F, Pass pass, int width>
inline constexpr bool has_hopper_kernel = is_narrow<F> ||
                                          (F == Format::tf32 && width <= (pass == Pass::forward ? 128 : 64));
/// The width of the kernels for heads of `width`: the narrowest serve all up to 32, since rows that TMA fills up with
/// zeros cost products alone, and these kernels are limited by what else they issue.
template <int width>
inline constexpr int hopper_width = width < 32 ? 32 : width;
/// One launch for all gradients wants registers for a third sum, and narrower heads are limited by what else is issued.
/// Of trained activations it serves those whose parameter's gradient follows from those of keys: where it made a sum
/// over scores, too, ptxas would let no product overlap with anything.
template <Format F, int width, class A>
inline constexpr bool has_one_pass = is_narrow<F> && (width == 64) &&
                                     (parameter_count<A, float> == 0 ||
                                      (StatesQuotient<A, float> && F != Format::fp16));
/// Whether it serves a call. Heads that share keys share their gradients, too, from which no parameter of one head
/// follows; and parts for 16 keys each must fit into memory for parts for queries.
template <class A>
bool gives_parameter_gradients(A const& a, BackwardSizes const& s) {
  if constexpr ((parameter_count<A, float>) != 0) {
    return (!a.parameters().per_head || s.heads == s.kv_heads) &&
           s.kv_heads * tiles_of(s.keys, hopper_part) <= s.heads * s.queries;
  }
  return true;
}

/// Whether these kernels serve a call on a GPU that has their instructions. Up to 64 queries are better served by the
/// small tiles of mma.sync.
template <Format F, Pass pass, int width, class Q, class K, class... Others>
bool serves_hopper(Q const& q, K const& k, Others const&... others) {
  return has_hopper_kernel<F, pass, width> && length_of(q.extent(2), k.extent(2)) == Length::any && has_boxes(q) &&
         has_boxes(k) && (has_boxes(others) && ...);
}

/// How many consumer warpgroups a block has. Three read a tile of keys and values for 192 queries, two for 128; three
/// are better unless tiles of 192 leave an eighth more rows empty at the end of a sequence.
constexpr int hopper_consumers(int width, Index queries) {
  auto const rows = [&](int own) { return Index(own) * tiles_of(queries, own); };
  return width <= 64 && 8 * rows(192) <= 9 * rows(128) ? 3 : 2;
}
/// Three have no registers for some kernels (`only_two`): those of a forward pass with dropout, which two do in fewer
/// instructions, and those of gradients in tf32, which keep queries and d_out there.
template <int width, bool only_two = false, class Work>
void with_consumers(Index queries, Work const& work) {
  if constexpr (width <= 64 && !only_two) {
    if (hopper_consumers(width, queries) == 3) return work(std::integral_constant<int, 3>());
  }
  work(std::integral_constant<int, 2>());
}

#if defined(ATTN_CUDA_HOPPER) && defined(KOKKOS_ENABLE_CUDA)

/// wgmma is of this one generation.
inline bool has_wgmma(Kokkos::Cuda const& exec) {
  auto const& device = exec.cuda_device_prop();
  return device.major == 9 && device.minor == 0;
}

#if defined(__CUDACC__)

/// In fp32 it rounds what kernels read to tf32, and writes results as they are.
template <class X>
constexpr CUtensorMapDataType map_type() {
  constexpr Format F = format_of<std::remove_const_t<X>>;
  if (F == Format::bf16) return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  if (F == Format::fp16) return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  return std::is_const_v<X> ? CU_TENSOR_MAP_DATA_TYPE_TFLOAT32 : CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
}

/// What TMA has to know of a tensor whose boxes are of `rows` rows of a panel for heads of `width`.
template <int width, class X, class Memory>
CUtensorMap tensor_map(Tensor<X, 4, Memory> const& x, int rows) {
  static auto const encode = [] {  // of the driver, which nobody links
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found{};
    cudaError_t const status =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
    ATTN_CHECK(status == cudaSuccess && found == cudaDriverEntryPointSuccess,
               "attention: install a driver for CUDA 12 or later, this one has no cuTensorMapEncodeTiled");
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
  }();
  cuuint64_t extents[4], steps[3];
  for (int r = 0; r < 4; ++r) extents[r] = cuuint64_t(x.extent(3 - r));
  for (int r = 0; r < 3; ++r) {  // a step that nobody takes is as if there were no gaps, yet a multiple of 16
    cuuint64_t const dense = r == 0 ? (extents[0] * sizeof(X) + 15) / 16 * 16 : steps[r - 1] * extents[r];
    steps[r] = x.extent(2 - r) > 1 ? cuuint64_t(x.stride(2 - r)) * sizeof(X) : dense;
  }
  constexpr int columns = panel_columns<width, sizeof(X)>;
  cuuint32_t const box[] = {columns, cuuint32_t(rows), 1, 1}, every[] = {1, 1, 1, 1};
  CUtensorMap map;
  CUresult const status = encode(&map, map_type<X>(), 4, const_cast<std::remove_const_t<X>*>(x.data()), extents, steps,
                                 box, every, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                 columns * sizeof(X) == 128 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  ATTN_CHECK(status == CUDA_SUCCESS, "attention: CUDA takes no tensor map of these strides, error ", int(status));
  return map;
}

template <class Kernel>
__global__ void __launch_bounds__(Kernel::Shape::threads, 1) run_hopper_kernel(__grid_constant__ Kernel const kernel) {
#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
  __trap();  // code for other GPUs, compiled beside; nobody should launch it
#else
  HopperBlock<Kernel::Shape::warps> const block;
  kernel(block);
#endif
}

/// How `rows` (B, H, N, .) are shared out to blocks in tiles of `own`, past which `streamed_rows` of `row_bytes` pass.
template <class Rows>
WorkOrder work_order(Kokkos::Cuda const& exec, Rows const& rows, int own, Index streamed_rows, int row_bytes) {
  Index const heads = rows.extent(0) * rows.extent(1), tiles = tiles_of(rows.extent(2), own);
  check_blocks(heads * tiles);
  return {heads, tiles, streamed_rows * row_bytes, exec.cuda_device_prop().l2CacheSize};
}

/// A T that each stream has of its own, made at first use and freed when Kokkos ends. Host code of one thread.
template <class T>
T& of_stream(Kokkos::Cuda const& exec) {
  static std::map<std::pair<int, cudaStream_t>, T> all;
  if (all.empty()) Kokkos::push_finalize_hook([] { all.clear(); });
  return all[{exec.cuda_device(), exec.cuda_stream()}];
}
/// Whether a graph is being recorded, whose replays may run beside the stream and must not share what that has.
inline bool is_recorded(Kokkos::Cuda const& exec) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  bool const knows = cudaStreamIsCapturing(exec.cuda_stream(), &capture) == cudaSuccess;
  if (!knows) (void)cudaGetLastError();
  return !knows || capture != cudaStreamCaptureStatusNone;
}

/// What the blocks of a kernel count works by (WorkSource). None for a graph.
inline unsigned* work_counter(Kokkos::Cuda const& exec) {
  using Counter = Kokkos::View<unsigned[2], Kokkos::CudaSpace>;
  if (is_recorded(exec)) return nullptr;
  auto& counter = of_stream<Counter>(exec);
  if (counter.data() == nullptr) counter = Counter("attn::attention::works");
  return counter.data();
}

/// What blocks add gradients of queries to (QuerySums), as much as the largest call of a stream wants.
struct QuerySumsMemory {
  Kokkos::View<float*, Kokkos::CudaSpace> sums;
  Kokkos::View<unsigned*, Kokkos::CudaSpace> counts;
};
inline QuerySumsMemory const& query_sums_memory(Kokkos::Cuda const& exec, std::size_t n) {
  auto& memory = of_stream<QuerySumsMemory>(exec);
  if (memory.counts.extent(0) < n) {
    exec.fence("attn::attention::query_sums");  // nobody uses what there is
    memory = {};
    memory.sums = Kokkos::View<float*, Kokkos::CudaSpace>(
        Kokkos::view_alloc(Kokkos::WithoutInitializing, "attn::attention::query_sums"),
        n * BackwardSizes::tile_bytes / sizeof(float));
    memory.counts = Kokkos::View<unsigned*, Kokkos::CudaSpace>("attn::attention::query_counts", n);
  }
  return memory;
}

/// Asynchronous on `exec`.
template <class Kernel>
void launch_on_hopper(Kokkos::Cuda const& exec, Kernel const& kernel) {
  int const blocks = std::min(kernel.order.size(), exec.cuda_device_prop().multiProcessorCount);
  launch(exec, run_hopper_kernel<Kernel>, kernel, blocks, Kernel::Shape::threads, Kernel::shared_bytes);
}

/// See `attention`, for tensors that `serves_hopper` is true for.
template <Format F, int width, class A, class Q, class K, class V, class O, class M, class Dropout>
void forward_on_hopper(Kokkos::Cuda const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
                       StatsOf<A, float>* saved, M const& mask, Dropout const& dropout, float score_scale) {
  with_consumers<width, drops_weights<Dropout>>(q.extent(2), [&](auto consumers) {
    using TileShape = HopperTileShape<width, consumers(), F>;
    HopperForward<F, width, TileShape, A, CUtensorMap, M, Dropout> const kernel{
        a,
        tensor_map<width>(q, 64),
        tensor_map<width>(k, TileShape::streamed),
        tensor_map<width>(v, TileShape::streamed),
        tensor_map<width>(out, 64),
        saved,
        mask,
        {int(q.extent(0)), int(q.extent(1)), int(k.extent(1)), int(q.extent(2)), int(k.extent(2))},
        score_scale,
        work_order(exec, q, TileShape::own, k.extent(2), 2 * TileShape::row_bytes),
        work_counter(exec),
        dropout};
    launch_on_hopper(exec, kernel);
  });
}

/// See `attention_backward`, for tensors that `serves_hopper` is true for. Returns which parts are to be added up.
template <Format F, int width, class Inputs, class DQ, class DK, class DV>
ParameterParts backward_on_hopper(Kokkos::Cuda const& exec, Inputs const& x, float* row_facts, float* parts,
                                  DQ const& d_q, DK const& d_k, DV const& d_v) {
  auto const own = [](auto const& rows) { return tensor_map<width>(rows, 64); };
  auto const streamed = [](auto const& rows) { return tensor_map<width>(rows, hopper_streamed<width>); };
  Index const rows_of_keys = x.q.extent(2) * (x.q.extent(1) / x.k.extent(1));
  if constexpr (has_one_pass<F, width, decltype(x.a)>) {
    constexpr bool needs_facts = RowActivation<decltype(x.a), float>;
    BackwardSizes const sizes{x.q.extent(0),
                              x.q.extent(1),
                              x.k.extent(1),
                              x.q.extent(2),
                              x.k.extent(2),
                              needs_facts,
                              exec.cuda_device_prop().multiProcessorCount};
    if (!is_recorded(exec) && gives_parameter_gradients(x.a, sizes) &&
        takes_one_launch(sizes, 64 * hopper_consumers(width, x.q.extent(2)))) {
      if constexpr (needs_facts) launch(exec, RowFactsOfQueries<Inputs>{{x, row_facts, nullptr}});
      QuerySumsMemory const& memory = query_sums_memory(exec, std::size_t(sizes.sums()));
      using TileShape = HopperBackwardTileShape<F, width, 2, Part::all>;
      HopperGradient<F, width, TileShape, Part::all, Inputs, CUtensorMap> const kernel{
          {x, row_facts, parts},
          own(x.k),
          own(x.v),
          streamed(x.q),
          streamed(x.d_out),
          own(d_k),
          own(d_v),
          work_order(exec, x.k, TileShape::own, rows_of_keys, 8 * width),
          work_counter(exec),
          {streamed(d_q), memory.sums.data(), memory.counts.data()}};
      launch_on_hopper(exec, kernel);
      int const tiles = tiles_of(x.k.extent(2), hopper_part);
      return {int(x.k.extent(1)), tiles, tiles};
    }
  }
  constexpr int row_bytes = width * element_bytes<F>;
  with_consumers<width, !is_narrow<F>>(x.q.extent(2), [&](auto consumers) {
    using TileShape = HopperBackwardTileShape<F, width, consumers(), Part::queries>;
    HopperGradient<F, width, TileShape, Part::queries, Inputs, CUtensorMap> const kernel{
        {x, row_facts, parts},
        own(x.q),
        own(x.d_out),
        streamed(x.k),
        streamed(x.v),
        own(d_q),
        {},
        work_order(exec, x.q, TileShape::own, x.k.extent(2), 2 * row_bytes),
        work_counter(exec)};
    launch_on_hopper(exec, kernel);
  });
  auto const of_keys = [&](auto part) {
    using TileShape = HopperBackwardTileShape<F, width, 2, part()>;
    HopperGradient<F, width, TileShape, part(), Inputs, CUtensorMap> const kernel{
        {x, row_facts, nullptr}, own(x.k), own(x.v), streamed(x.q),
        streamed(x.d_out),       own(d_k), own(d_v), work_order(exec, x.k, TileShape::own, rows_of_keys, 2 * row_bytes),
        work_counter(exec)};
    launch_on_hopper(exec, kernel);
  };
  if constexpr (joins_keys_and_values<width>) {
    of_keys(PartConstant<Part::keys_and_values>());
  } else {
    of_keys(PartConstant<Part::keys>());
    of_keys(PartConstant<Part::values>());
  }
  return {int(x.q.extent(1)), int(x.q.extent(2)), tiles_of(x.q.extent(2), hopper_part)};
}

#endif

#endif

}  // namespace attn::detail::cuda
