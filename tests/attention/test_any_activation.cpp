#include "attn/activation/activation.hpp"
#include "attn/attention/any_activation.hpp"
#include "attn/attention/norms.hpp"
#include "attn/core/narrow.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using attn_test::Exec;
using attn_test::Memory;
using J = Jet<double, 1>;
using Norms = AttentionNorms<float, Memory>;
using Bias = ScoreBias<float, Memory>;
using Any =
    BasicAnyActivation<AttentionCall<Exec>, AttentionCall<Exec, float, Full, Norms>,
                       AttentionCall<Exec, double, Causal>, AttentionCall<Exec, J>, AttentionCall<Exec, BFloat16>,
                       AttentionCall<Exec, float, Full, NoNorms, Fp32Products, Bias>>;
static_assert(std::is_trivially_copyable_v<Any>);
static_assert(ErasedActivation<Any> && !Activation<Any, float> && !ErasedActivation<Softmax>);

struct Shape {
  Index batch = 2, heads = 2, kv_heads = 2, queries = 5, keys = 7, width = 6, value_width = 4;

  Index q_size() const { return batch * heads * queries * width; }
  Index k_size() const { return batch * kv_heads * keys * width; }
  Index v_size() const { return batch * kv_heads * keys * value_width; }
  Index out_size() const { return batch * heads * queries * value_width; }
};

/// Owns arrays of any type where kernels run.
class Arrays {
  template <class T, class M>
  using Flat = Kokkos::View<T*, M, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

 public:
  template <class T>
  T* put(std::vector<T> const& values) {
    Kokkos::View<std::byte*, Memory> const bytes("Arrays", values.size() * sizeof(T) + 1);
    T* const data = reinterpret_cast<T*>(bytes.data());
    Kokkos::deep_copy(Flat<T, Memory>(data, values.size()),
                      Flat<T const, Kokkos::HostSpace>(values.data(), values.size()));
    owned_.push_back(bytes);
    return data;
  }
  template <class T>
  static std::vector<T> get(T const* data, std::size_t n) {
    std::vector<T> values(n);
    Kokkos::deep_copy(Flat<T, Kokkos::HostSpace>(values.data(), n), Flat<T const, Memory>(data, n));
    return values;
  }

 private:
  std::vector<Kokkos::View<std::byte*, Memory>> owned_;
};

/// Every number that one forward and one backward pass write.
template <class T, class Options, class A>
std::vector<double> all_results(A const& a, Shape const& s, Options const& options,
                                RealOf<AccumulatorOf<T>>* gradient) {
  Arrays arrays;
  Exec const exec;
  std::vector<std::pair<T*, std::size_t>> written;
  auto const numbers = [](std::vector<double> const& x) { return std::vector<T>(x.begin(), x.end()); };
  auto const read = [&](Index n, std::uint64_t stream, Extents<4> const& extents) {
    return Tensor<T const, 4, Memory>(arrays.put(numbers(attn_test::random_numbers(n, stream))), extents);
  };
  auto const write = [&](Index n, Extents<4> const& extents) {
    T* const data = arrays.put(std::vector<T>(std::size_t(n), T(0)));
    written.emplace_back(data, std::size_t(n));
    return Tensor<T, 4, Memory>(data, extents);
  };
  Extents<4> const q_extents{s.batch, s.heads, s.queries, s.width}, k_extents{s.batch, s.kv_heads, s.keys, s.width};
  Extents<4> const v_extents{s.batch, s.kv_heads, s.keys, s.value_width};
  Extents<4> const out_extents{s.batch, s.heads, s.queries, s.value_width};
  auto const q = read(s.q_size(), 1, q_extents), k = read(s.k_size(), 2, k_extents), v = read(s.v_size(), 3, v_extents);
  auto const d_out = read(s.out_size(), 4, out_extents);
  auto const out = write(s.out_size(), out_extents);
  auto const d_q = write(s.q_size(), q_extents), d_k = write(s.k_size(), k_extents), d_v = write(s.v_size(), v_extents);
  auto const saved = attention(exec, a, q, k, v, out, options);
  attention_backward(exec, a, q, k, v, Tensor<T const, 4, Memory>(out), saved, d_out, d_q, d_k, d_v, options);
  exec.fence();
  std::vector<double> result;
  for (auto const& [data, n] : written) {
    for (T const& x : Arrays::get(data, n)) {
      if constexpr (AnyJet<T>) {
        for (auto const c : x.coefficients) result.push_back(c);
      } else {
        result.push_back(double(x));
      }
    }
  }
  if (gradient != nullptr) result.push_back(double(*gradient));
  return result;
}

Shape const shapes[] = {{.batch = 1, .heads = 1, .kv_heads = 1, .queries = 1, .keys = 1, .width = 1, .value_width = 1},
                        {.batch = 3, .heads = 4, .kv_heads = 2, .queries = 11, .keys = 13},
                        {.batch = 1, .heads = 2, .kv_heads = 2, .queries = 131, .keys = 131, .width = 8},
                        {.batch = 1, .heads = 1, .kv_heads = 1, .queries = 0, .keys = 3}};

template <class T, class Options = AttentionOptions<>, class A>
void expect_same_bits(A const& a, Options const& options = {}) {
  for (Shape const& s : shapes) {
    EXPECT_EQ(all_results<T>(Any(a), s, options, nullptr), all_results<T>(a, s, options, nullptr))
        << Any(a).name() << ", " << s.queries << " queries";
  }
}

template <class A>
void expect_same_bits_for_every_call(A const& a) {
  expect_same_bits<float>(a);
  expect_same_bits<double>(a, AttentionOptions<Causal>{.mask = {.offset = 1}, .score_scale = 0.25});
  expect_same_bits<J>(a);
  expect_same_bits<BFloat16>(a);
}

TEST(AnyActivation, GivesTheBitsOfWhatItHolds) {
  expect_same_bits_for_every_call(Softmax{});
  expect_same_bits<float>(Sigmoid{.log_n = 1});
  expect_same_bits<J>(Poly<any_power, FixedScale>{{0.5}, {2}});
}

/// One scale of `T` and its gradient, and Poly over them.
template <class R>
struct Trained {
  Arrays arrays;
  R* value = arrays.put(std::vector<R>{R(0.75)});
  R* gradient = arrays.put(std::vector<R>{R(0.5)});

  LearnedParameters<R> numbers() const { return {value, gradient, false}; }
  double pulled() const { return double(Arrays::get(gradient, 1)[0]); }
};

template <class T, class Options = AttentionOptions<>>
void expect_same_trained_scale(Options const& options = {}) {
  using R = RealOf<AccumulatorOf<T>>;
  Poly<3, DynamicScale> const unbound;
  for (Shape const& s : shapes) {
    Trained<R> mine, other;
    EXPECT_EQ(all_results<T>(Any(unbound).bind(mine.numbers()), s, options, nullptr),
              all_results<T>(unbound.bind(other.numbers()), s, options, nullptr));
    EXPECT_EQ(mine.pulled(), other.pulled());
  }
}

TEST(AnyActivation, TrainsTheNumbersThatItIsBoundTo) {
  expect_same_trained_scale<double>(AttentionOptions<Causal>{});
  expect_same_trained_scale<J>();

  Trained<float> mine, other;  // bound before it was erased
  Poly<3, DynamicScale> const a{{mine.value, mine.gradient}}, b{{other.value, other.gradient}};
  EXPECT_EQ(all_results<float>(Any(a), shapes[1], AttentionOptions<>{}, mine.gradient),
            all_results<float>(b, shapes[1], AttentionOptions<>{}, other.gradient));
  EXPECT_NE(mine.pulled(), 0.5);
}

TEST(AnyActivation, SaysWhichNumbersAreTrained) {
  Any const softmax = Softmax{}, poly = Poly<3, DynamicScale>{}, none = Poly<3>{};
  EXPECT_EQ(softmax.n_parameters(), 0);
  EXPECT_EQ(none.n_parameters(), 0);
  ASSERT_EQ(poly.n_parameters(), 1);
  EXPECT_STREQ(poly.parameter_name(0), "scale");
  EXPECT_EQ(poly.initial_parameter(0, 16), 0.25);
  EXPECT_TRUE(poly.holds_same_type(Poly<3, DynamicScale>{}));
  EXPECT_FALSE(poly.holds_same_type(none));
}

TEST(AnyActivation, GathersTheSameNorms) {
  Index const n = 37, width = 5;
  attn_test::Array<float, 4> const q({1, 2, n, width}, attn_test::random_numbers(2 * n * width, 5));
  attn_test::Array<float, 4> const k({1, 2, n, width}, attn_test::random_numbers(2 * n * width, 6));
  auto const norms_of = [&](auto const& a) {
    attn_test::Array<float, 2> const frobenius({1, 2}), jacobian({1, 2});
    attention_norms(Exec(), a, q.tensor(), k.tensor(), Norms{frobenius, jacobian});
    auto both = frobenius.numbers();
    for (double const x : jacobian.numbers()) both.push_back(x);
    return both;
  };
  EXPECT_EQ(norms_of(Any(Softmax{})), norms_of(Softmax{}));
  EXPECT_EQ(norms_of(Any(Relu{})), norms_of(Relu{}));
  EXPECT_GT(norms_of(Any(Relu{}))[0], 0);
}

TEST(AnyActivation, TakesABiasAndPullsItsGradient) {
  Shape const s{.batch = 2, .heads = 2, .kv_heads = 2, .queries = 9, .keys = 9};
  auto const results = [&](auto const& a) {
    attn_test::Array<float, 4> const values({1, 2, 9, 9}, attn_test::random_numbers(2 * 9 * 9, 7));
    attn_test::Array<float, 4> const gradient({1, 2, 9, 9}, std::vector<double>(2 * 9 * 9, 0));
    auto all = all_results<float>(a, s, with_bias(AttentionOptions<>{}, Bias{values, gradient}), nullptr);
    for (double const x : gradient.numbers()) all.push_back(x);
    return all;
  };
  EXPECT_EQ(results(Any(Softmax{})), results(Softmax{}));
}

TEST(AnyActivation, KeepsWhatItHoldsKeeps) {
  Workspace<Memory> workspace;
  using Of = Saved<Softmax, float, Memory>;
  EXPECT_EQ((Any(Softmax{}).saved_bytes<float, Memory>(2, 3, 5)), Of::bytes(2, 3, 5));
  EXPECT_EQ((Any(Poly<3, DynamicScale>{}).saved_bytes<double, Memory>(2, 3, 5)), Index(2 * 3 * 5 * sizeof(double)));
  EXPECT_EQ((Saved<Any, float, Memory>(workspace, Relu{}, 2, 3, 5).memory()), nullptr);
  EXPECT_EQ(workspace.capacity(), 0u);
}

TEST(AnyActivation, IsDescribedByTheKernelOfWhatItHolds) {
  Tensor<float, 4, Memory> const x(nullptr, {1, 1, 4, 8});
  EXPECT_EQ(describe(Exec(), Any(Softmax{}), x, x, x, x),
            describe(Exec(), Softmax{}, x, x, x, x) + " of attn::Softmax");
  EXPECT_EQ(describe<Pass::backward>(Exec(), Any(Relu{}), x, x, x, x),
            describe<Pass::backward>(Exec(), Relu{}, x, x, x, x) + " of attn::Relu");
  EXPECT_EQ(Any(Relu{}).name(), "attn::Relu");
}

template <class Call>
std::string message_of(Call const& call) {
  try {
    call();
  } catch (Error const& error) {
    return error.what();
  }
  return "";
}

TEST(AnyActivation, SaysHowToUseIt) {
  attn_test::Array<float, 4> const x({1, 1, 2, 2});
  EXPECT_NE(message_of([&] {
              attention(Exec(), Any(), x.tensor(), x.tensor(), x.tensor(), x.tensor());
            }).find("AnyActivation: choose an activation; this one holds none"),
            std::string::npos);
  attn_test::Array<double, 4> const y({1, 1, 2, 2}), out({1, 1, 2, 2});
  EXPECT_NE(message_of([&] {
              attention(Exec(), Any(Poly<3, DynamicScale>{}), y.tensor(), y.tensor(), y.tensor(), out.tensor(),
                        AttentionOptions<Causal>{});
            }).find("bind its trained numbers"),
            std::string::npos);
  Trained<float> floats;
  EXPECT_NE(message_of([&] {
              attention(Exec(), Any(Poly<3, DynamicScale>{}).bind(floats.numbers()), y.tensor(), y.tensor(), y.tensor(),
                        out.tensor(), AttentionOptions<Causal>{});
            }).find("of 8 bytes; got 4 bytes"),
            std::string::npos);
}

}  // namespace
