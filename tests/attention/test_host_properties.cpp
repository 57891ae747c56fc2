// What the host kernels promise beyond their numbers: bits, memory, views in place, norms from the same pass.
#include "attn/attention/attention.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <new>
#include <vector>

#include "attention/cases.hpp"

namespace {

std::atomic<std::size_t> heap_allocations{0};

}  // namespace

// Counts what the whole executable takes from the heap. Not inlined, or g++ takes malloc and delete for a mismatch.
#define ATTN_TEST_OUTLINE __attribute__((noinline))
ATTN_TEST_OUTLINE void* operator new(std::size_t bytes) {
  ++heap_allocations;
  if (void* const p = std::malloc(bytes > 0 ? bytes : 1)) return p;
  throw std::bad_alloc();
}
ATTN_TEST_OUTLINE void* operator new(std::size_t bytes, std::align_val_t alignment) {
  ++heap_allocations;
  std::size_t const a = std::size_t(alignment);
  if (void* const p = std::aligned_alloc(a, (bytes + a) / a * a)) return p;
  throw std::bad_alloc();
}
ATTN_TEST_OUTLINE void operator delete(void* p) noexcept { std::free(p); }
ATTN_TEST_OUTLINE void operator delete(void* p, std::size_t) noexcept { std::free(p); }
ATTN_TEST_OUTLINE void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
ATTN_TEST_OUTLINE void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace attn_test {

/// The upper half of a float.
struct Bfloat16 {
  std::uint16_t bits = 0;

  Bfloat16() = default;
  explicit Bfloat16(float x) : bits(static_cast<std::uint16_t>((std::bit_cast<std::uint32_t>(x) + 0x8000u) >> 16)) {}
  explicit operator float() const { return std::bit_cast<float>(std::uint32_t(bits) << 16); }
};

}  // namespace attn_test

template <>
struct attn::AccumulatorOfTrait<attn_test::Bfloat16> {
  using type = float;
};

namespace {

using namespace attn_test;
using attn::Tensor;
using Exec = Kokkos::DefaultHostExecutionSpace;
using Memory = Exec::memory_space;

template <class T>
using X = Tensor<T, 4, Memory>;

/// One call, forward and backward, with memory of its own.
template <class T, class A, class M>
struct Call {
  Shape shape;
  A a;
  attn::AttentionOptions<M> options = {};
  Inputs<T> in = random_inputs<T>(shape);
  std::vector<T> out = in.d_out, d_q = in.q, d_k = in.k, d_v = in.v;
  attn::Saved<A, T, Memory> saved{shape.batch, shape.heads, shape.queries};

  X<T> q() { return {in.q.data(), {shape.batch, shape.heads, shape.queries, shape.width}}; }
  X<T> k() { return {in.k.data(), {shape.batch, shape.kv_heads, shape.keys, shape.width}}; }
  X<T> v() { return {in.v.data(), {shape.batch, shape.kv_heads, shape.keys, shape.value_width}}; }
  X<T> like_out(std::vector<T>& x) { return {x.data(), {shape.batch, shape.heads, shape.queries, shape.value_width}}; }

  void run(Exec const& exec) {
    attn::attention(exec, a, q(), k(), v(), like_out(out), saved, options);
    attn::attention_backward(exec, a, q(), k(), v(), like_out(out), saved, like_out(in.d_out),
                             X<T>(d_q.data(), q().extents()), X<T>(d_k.data(), k().extents()),
                             X<T>(d_v.data(), v().extents()), options);
    exec.fence();
  }
};

TEST(HostAttention, GivesTheSameBitsForAnyNumberOfThreads) {
  std::vector<float> const scale{0.5f};
  for (Shape const& shape :
       {Shape{.batch = 1, .heads = 1, .kv_heads = 1, .queries = 1201, .keys = 83, .width = 8},
        Shape{.batch = 3, .heads = 4, .kv_heads = 2, .queries = 131, .keys = 131, .width = 16},
        Shape{.batch = 1, .heads = 2, .kv_heads = 1, .queries = 2, .keys = 9000, .width = 64, .value_width = 64}}) {
    std::vector<float> gradient(1), gradient_alone(1);
    using A = attn::Poly<3, attn::DynamicScale>;
    Call<float, A, attn::Causal> all{shape, A{{scale.data(), gradient.data()}}};
    Call<float, A, attn::Causal> alone{shape, A{{scale.data(), gradient_alone.data()}}};
    all.run(Exec());
    alone.run(Kokkos::Experimental::partition_space(Exec(), 1, 1)[0]);
    EXPECT_EQ(all.out, alone.out);
    EXPECT_EQ(all.d_q, alone.d_q);
    EXPECT_EQ(all.d_k, alone.d_k);
    EXPECT_EQ(all.d_v, alone.d_v);
    EXPECT_EQ(gradient, gradient_alone);

    Call<float, attn::Softmax, attn::Full> softmax{shape, {}}, softmax_alone{shape, {}};
    softmax.run(Exec());
    softmax_alone.run(Kokkos::Experimental::partition_space(Exec(), 1, 1)[0]);
    EXPECT_EQ(softmax.out, softmax_alone.out);
    EXPECT_EQ(softmax.d_q, softmax_alone.d_q);
    EXPECT_EQ(softmax.d_k, softmax_alone.d_k);
  }
}

TEST(HostAttention, WorksInPlaceOnAFusedProjection) {
  constexpr Index batch = 2, heads = 3, tokens = 53, width = 20;
  std::vector<double> const values = normal_numbers(batch * tokens * 3 * heads * width, 5);
  std::vector<float> qkv(values.begin(), values.end()), out(std::size_t(batch * tokens * heads * width));
  attn::Extents<4> const extents{batch, heads, tokens, width};
  // (B, N, 3, H, D) seen as (B, H, N, D), and the output as (B, N, H, D)
  attn::Extents<4> const strides{tokens * 3 * heads * width, width, 3 * heads * width, 1};
  auto const part = [&](std::vector<float>& x, Index i) {
    return X<float>(x.data() + i * heads * width, extents, strides);
  };
  X<float> const o(out.data(), extents, {tokens * heads * width, width, heads * width, 1});
  std::vector<float> d_qkv(qkv.size()), d_out(out.size(), 0.5f);
  X<float> const d_o(d_out.data(), extents, o.strides());
  auto const saved = attn::attention(Exec(), attn::Softmax{}, part(qkv, 0), part(qkv, 1), part(qkv, 2), o);
  attn::attention_backward(Exec(), attn::Softmax{}, part(qkv, 0), part(qkv, 1), part(qkv, 2), o, saved, d_o,
                           part(d_qkv, 0), part(d_qkv, 1), part(d_qkv, 2));

  std::vector<float> want_out(out.size()), want(qkv.size());
  X<float> const want_o(want_out.data(), extents, o.strides());
  attn::reference::attention(attn::Softmax{}, part(qkv, 0), part(qkv, 1), part(qkv, 2), want_o);
  attn::reference::attention_backward(attn::Softmax{}, part(qkv, 0), part(qkv, 1), part(qkv, 2), d_o, part(want, 0),
                                      part(want, 1), part(want, 2));
  auto const as_double = [](auto const& x) { return std::vector<double>(x.begin(), x.end()); };
  double const tolerance = attn::testing::tolerance<float>(8 * tokens);
  for (auto const& verdict : {attn::testing::allclose(as_double(out), as_double(want_out), tolerance),
                              attn::testing::allclose(as_double(d_qkv), as_double(want), tolerance)}) {
    EXPECT_TRUE(bool(verdict)) << verdict.message();
  }
}

TEST(HostAttention, NeverReadsKeysBehindThePadding) {
  Shape const shape{.batch = 2, .heads = 2, .kv_heads = 2, .queries = 61, .keys = 61, .width = 9, .value_width = 5};
  std::vector<int> const lengths{17, 50};
  Call<float, attn::Softmax, attn::KeyPadding> call{shape, {}, {.mask = {lengths.data()}}};
  float const nan = std::numeric_limits<float>::quiet_NaN();
  for (Index b = 0; b < 2; ++b) {
    for (Index h = 0; h < 2; ++h) {
      for (Index j = lengths[std::size_t(b)]; j < shape.keys; ++j) {
        for (Index d = 0; d < shape.width; ++d) call.k()(b, h, j, d) = nan;
        for (Index e = 0; e < shape.value_width; ++e) call.v()(b, h, j, e) = nan;
      }
    }
  }
  call.run(Exec());
  for (auto const* x : {&call.out, &call.d_q, &call.d_k, &call.d_v}) {
    for (float const number : *x) ASSERT_TRUE(std::isfinite(number));
  }
}

/// e^s: infinite where a score is large.
struct Exponential {
  template <class T>
  ATTN_FUNCTION T operator()(T s, attn::Row) const {
    return attn::exp(s);
  }
};

TEST(HostAttention, HidesScoresThatWouldOverflow) {
  Shape const shape{.batch = 1, .heads = 1, .kv_heads = 1, .queries = 70, .keys = 70, .width = 1, .value_width = 1};
  Call<float, Exponential, attn::Causal> call{shape, {}, {.score_scale = 1}};
  for (Index i = 0; i < 70; ++i) {
    call.q()(0, 0, i, 0) = float(70 - i);  // q_i k_j = (70 - i)(1 + j)/20 exceeds 88 for j > i only
    call.k()(0, 0, i, 0) = float(1 + i) / 20;
  }
  call.run(Exec());
  for (float const number : call.out) ASSERT_TRUE(std::isfinite(number));
  for (float const number : call.d_q) ASSERT_TRUE(std::isfinite(number));
}

TEST(HostAttention, KeepsANaN) {
  Shape const shape{.batch = 1, .heads = 1, .kv_heads = 1, .queries = 20, .keys = 20};
  Call<float, attn::Softmax, attn::Full> call{shape, {}};
  call.k()(0, 0, 11, 0) = std::numeric_limits<float>::quiet_NaN();
  call.run(Exec());
  for (float const number : call.out) ASSERT_TRUE(std::isnan(number));
}

template <class T, class A>
void expect_norms(A const& a) {
  constexpr Index batch = 2, heads = 2, n = 67, m = 115;
  Call<T, A, attn::Window> call{{.batch = batch, .heads = heads, .kv_heads = heads, .queries = n, .keys = m}, a};
  attn::Window const mask{.before = 40, .after = 90, .offset = -3};
  std::vector<T> frobenius(4), jacobian(4);
  attn::AttentionNorms<T, Memory> const norms{{frobenius.data(), {batch, heads}}, {jacobian.data(), {batch, heads}}};
  attn::attention(Exec(), a, call.q(), call.k(), call.v(), call.like_out(call.out), call.saved,
                  attn::AttentionOptions<attn::Window, attn::AttentionNorms<T, Memory>>{.mask = mask, .norms = norms});
  Exec().fence();

  std::vector<double> weights(std::size_t(batch * heads * n * m)), q(call.in.q.begin(), call.in.q.end()),
      k(call.in.k.begin(), call.in.k.end());
  Tensor<double, 4, Memory> const w(weights.data(), {batch, heads, n, m});
  Tensor<double, 4, Memory> const wide_q(q.data(), call.q().extents()), wide_k(k.data(), call.k().extents());
  attn::reference::attention_weights(a, wide_q, wide_k, w, attn::AttentionOptions<attn::Window>{.mask = mask});
  double const tolerance = attn::testing::tolerance<T>(double(8 * m));
  for (Index b = 0; b < batch; ++b) {
    for (Index h = 0; h < heads; ++h) {
      double want_frobenius = 0, want_jacobian = 0;
      for (Index i = 0; i < n; ++i) {
        for (Index j = 0; j < m; ++j) {
          want_frobenius += w(b, h, i, j) * w(b, h, i, j);
          if constexpr (attn::RowActivation<A, double>) {
            double row = 0;  // summed by itself: 10^6 terms in one sum would lose three digits
            for (Index l = 0; l < m; ++l) {
              double const entry = w(b, h, i, j) * ((j == l ? 1 : 0) - w(b, h, i, l));
              row += entry * entry;
            }
            want_jacobian += row;
          } else {
            auto const range = mask.keys({int(b), int(i), int(n), int(m)});
            if (j < range.begin || j >= range.end) continue;
            double s = 0;
            for (Index d = 0; d < wide_q.extent(3); ++d) s += wide_q(b, h, i, d) * wide_k(b, h, j, d);
            double const slope =
                attn::weight_and_slope(a, s / std::sqrt(double(wide_q.extent(3))), attn::Row{int(m), int(h)}).slope;
            want_jacobian += slope * slope;
          }
        }
      }
      EXPECT_NEAR(double(frobenius[std::size_t(b * heads + h)]), want_frobenius, tolerance * want_frobenius);
      // sum_w2 - 2 sum_w3 + sum_w2^2 cancels where one weight is nearly 1
      EXPECT_NEAR(double(jacobian[std::size_t(b * heads + h)]), want_jacobian,
                  tolerance * std::max(want_jacobian, want_frobenius));
    }
  }
}

TEST(HostAttention, GathersTheNormsOfTheMatrixAndOfItsJacobian) {
  expect_norms<float>(attn::Softmax{});
  expect_norms<double>(attn::Softmax{});
  expect_norms<float>(attn::Poly<3, attn::FixedScale>{});
  expect_norms<double>(attn::Sigmoid{});
}

TEST(HostAttention, TakesNothingFromTheHeapInTheSecondCall) {
  Shape const shape{.batch = 1, .heads = 3, .kv_heads = 3, .queries = 1201, .keys = 83, .width = 8};
  Exec const exec;
  Call<float, attn::Softmax, attn::Full> call{shape, {}};
  call.run(exec);
  std::size_t const before = heap_allocations;
  Kokkos::parallel_for("attn_test: the least that a launch takes", Kokkos::RangePolicy<Exec>(exec, 0, 2), [](int) {});
  exec.fence("attn_test: the least that a launch takes");
  std::size_t const launch = heap_allocations - before;
  std::size_t const start = heap_allocations;
  call.run(exec);
  EXPECT_LE(heap_allocations - start, 8 * launch + 8) << "names of kernels and regions; no array";
}

TEST(HostAttention, LendsScratchAgain) {
  std::byte* first = nullptr;
  {
    attn::detail::host::Scratch const scratch(1 << 20);
    first = scratch.data();
  }
  attn::detail::host::Scratch const again(1 << 20), another(1 << 20);
  EXPECT_EQ(again.data(), first);
  EXPECT_NE(another.data(), first);
}

TEST(HostAttention, StoresNarrowAndComputesWide) {
  Shape const shape{.batch = 2, .heads = 4, .kv_heads = 2, .queries = 61, .keys = 115, .width = 20, .value_width = 33};
  Call<float, attn::Softmax, attn::Causal> wide{shape, {}};
  auto const narrow = [](std::vector<float>& x) {  // both calls get the same, rounded numbers
    std::vector<Bfloat16> y;
    for (float& number : x) {
      y.emplace_back(number);
      number = float(y.back());
    }
    return y;
  };
  auto q = narrow(wide.in.q), k = narrow(wide.in.k), v = narrow(wide.in.v), d_out = narrow(wide.in.d_out);
  auto out = d_out, d_q = q, d_k = k, d_v = v;
  wide.run(Exec());

  using N = X<Bfloat16>;
  auto const q_extents = wide.q().extents(), k_extents = wide.k().extents(), v_extents = wide.v().extents(),
             out_extents = wide.like_out(wide.out).extents();
  N const q_(q.data(), q_extents), k_(k.data(), k_extents), v_(v.data(), v_extents), out_(out.data(), out_extents);
  auto const saved = attn::attention(Exec(), attn::Softmax{}, q_, k_, v_, out_, wide.options);
  attn::attention_backward(Exec(), attn::Softmax{}, q_, k_, v_, out_, saved, N(d_out.data(), out_extents),
                           N(d_q.data(), q_extents), N(d_k.data(), k_extents), N(d_v.data(), v_extents), wide.options);
  auto const expect_near = [](std::vector<Bfloat16> const& got, std::vector<float> const& want) {
    std::vector<double> x, y(want.begin(), want.end());
    for (Bfloat16 const number : got) x.push_back(double(float(number)));
    // one rounding to 8 bits of each result, and of the output that the backward pass reads
    auto const verdict = attn::testing::allclose(x, y, 2.0 / 256);
    EXPECT_TRUE(bool(verdict)) << verdict.message();
  };
  expect_near(out, wide.out);
  expect_near(d_q, wide.d_q);
  expect_near(d_k, wide.d_k);
  expect_near(d_v, wide.d_v);
}

}  // namespace
