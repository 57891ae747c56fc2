/// Calls of attention for tests: inputs on the host, a kernel and a policy in any memory, results on the host.
#pragma once

#include "attn/activation/activation.hpp"
#include "attn/attention/attention.hpp"
#include "attn/attention/detail/team/attention.hpp"
#include "attn/core/random.hpp"
#include "attn/testing/allclose.hpp"
#include "attn/testing/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace attn_test {

using attn::Index;

struct Shape {
  Index batch = 2, heads = 2, kv_heads = 2, queries = 5, keys = 7, width = 6, value_width = 4;
  Index biases = 1, bias_heads = 1;  // of a bias, where a test has one
  Index d_biases = 0;                // of its gradient; 0: as many

  Index q_size() const { return batch * heads * queries * width; }
  Index k_size() const { return batch * kv_heads * keys * width; }
  Index v_size() const { return batch * kv_heads * keys * value_width; }
  Index out_size() const { return batch * heads * queries * value_width; }
  Index bias_size() const { return biases * bias_heads * queries * keys; }
  Index kept_apart() const { return d_biases > 0 ? d_biases : biases; }
};

inline std::vector<double> normal_numbers(Index n, std::uint64_t stream) {
  std::vector<double> x;
  for (Index i = 0; i < n; ++i) x.push_back(attn::normal<double>({.seed = 11, .stream = stream}, std::uint64_t(i)));
  return x;
}

/// What goes in, as numbers that every scalar takes. `Numbers` is std::vector<double>, or of jets.
template <class T>
struct Inputs {
  Shape shape;
  std::vector<T> q, k, v, d_out, bias = {};  // without a bias nothing is added to scores
};

template <class T>
Inputs<T> random_inputs(Shape const& s) {
  auto const as = [](std::vector<double> const& x) { return std::vector<T>(x.begin(), x.end()); };
  return {s, as(normal_numbers(s.q_size(), 1)), as(normal_numbers(s.k_size(), 2)), as(normal_numbers(s.v_size(), 3)),
          as(normal_numbers(s.out_size(), 4))};
}

template <class T>
struct Outputs {
  std::vector<T> out, d_q, d_k, d_v, d_parameters, d_bias, frobenius, jacobian;
};

/// Owns arrays in the memory of a space: what policies point to, and tensors.
template <class Memory>
class Arrays {
 public:
  template <class T>
  T* put(std::vector<T> const& values) {
    Kokkos::View<std::byte*, Memory> bytes("attn_test::Arrays", values.size() * sizeof(T) + 1);
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
  template <class T, class M>
  using Flat = Kokkos::View<T*, M, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

  std::vector<Kokkos::View<std::byte*, Memory>> owned_;
};

/// The kernels.
struct Reference {
  using Exec = Kokkos::DefaultHostExecutionSpace;
  static constexpr bool has_norms = false;

  template <class A, class X, class Saved, class Options>
  static void forward(Exec const&, A const& a, X q, X k, X v, X out, Saved const&, Options const& options) {
    attn::reference::attention(a, q, k, v, out, options);
  }
  template <class A, class X, class Saved, class Options>
  static void backward(Exec const&, A const& a, X q, X k, X v, X, Saved const&, X d_out, X d_q, X d_k, X d_v,
                       Options const& options) {
    attn::reference::attention_backward(a, q, k, v, d_out, d_q, d_k, d_v, options);
  }
};

struct Portable {  // whatever the space
  using Exec = Kokkos::DefaultExecutionSpace;
  static constexpr bool has_norms = true;

  template <class A, class X, class Saved, class Options>
  static void forward(Exec const& exec, A const& a, X q, X k, X v, X out, Saved const& saved, Options const& options) {
    attn::detail::team_attention_forward(exec, a, q, k, v, out, saved, options);
  }
  template <class A, class X, class Saved, class Options>
  static void backward(Exec const& exec, A const& a, X q, X k, X v, X out, Saved const& saved, X d_out, X d_q, X d_k,
                       X d_v, Options const& options) {
    attn::detail::team_attention_backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
  }
};

struct Chosen {  // what `attention` takes here
  using Exec = Kokkos::DefaultExecutionSpace;
  static constexpr bool has_norms = true;

  template <class A, class X, class Saved, class Options>
  static void forward(Exec const& exec, A const& a, X q, X k, X v, X out, Saved const& saved, Options const& options) {
    attn::attention(exec, a, q, k, v, out, saved, options);
  }
  template <class A, class X, class Saved, class Options>
  static void backward(Exec const& exec, A const& a, X q, X k, X v, X out, Saved const& saved, X d_out, X d_q, X d_k,
                       X d_v, Options const& options) {
    attn::attention_backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
  }
};

/// Makes a policy that needs no memory.
template <class Policy>
auto plain(Policy const& policy) {
  return [policy](auto&) { return policy; };
}

/// Poly with a scale that is trained, one value for all heads or one for each, stored as the kernel's real number.
template <int P>
auto dynamic_poly(std::vector<double> const& scale) {
  return [scale]<class R>(auto& arrays, R) {
    std::vector<R> const values(scale.begin(), scale.end());
    return attn::Poly<P, attn::BasicDynamicScale<R>>{
        {arrays.put(values), arrays.put(std::vector<R>(scale.size(), R(0))), scale.size() > 1}};
  };
}

/// One type of mask that shows what any of the library's would: fewer kernels to compile. With `queries_per_group`,
/// queries and keys are in groups, as packed sequences are, and to activations every group has `keys_per_group` keys.
struct AnyMask {
  attn::Window window = {};
  attn::KeyPadding padding = {};
  int queries_per_group = 0;
  int keys_per_group = 0;

  ATTN_FUNCTION attn::KeyRange keys(attn::Query q) const {
    attn::KeyRange range = attn::Both<attn::Window, attn::KeyPadding>{window, padding}.keys(q);
    if (queries_per_group > 0) {
      int const first = attn::detail::clamp_to(q.index / queries_per_group * keys_per_group, 0, q.n_keys);
      int const last = attn::detail::clamp_to(first + keys_per_group, 0, q.n_keys);
      range = {range.begin > first ? range.begin : first, range.end < last ? range.end : last};
    }
    return range;
  }
  ATTN_FUNCTION int length(int batch, int n_keys) const {
    return queries_per_group > 0 ? keys_per_group : padding.length(batch, n_keys);
  }
};

/// What `attn::Full` shows.
inline auto full() {
  return [](auto& arrays, Shape const& s) {
    int const all = int(s.keys);
    return AnyMask{{.before = int(s.queries), .after = all}, {arrays.put(std::vector<int>(std::size_t(s.batch), all))}};
  };
}
/// What `attn::Window` shows, or with lengths, both masks.
inline auto window(attn::Window const& w, std::vector<int> const& lengths = {}) {
  return [=](auto& arrays, Shape const& s) {
    return AnyMask{w, {arrays.put(lengths.empty() ? std::vector<int>(std::size_t(s.batch), int(s.keys)) : lengths)}};
  };
}
/// What `attn::Causal` shows.
inline auto causal(int offset) { return window({.before = 1 << 20, .after = offset}); }
inline auto lengths(std::vector<int> const& values) { return window({.before = 1 << 20, .after = 1 << 20}, values); }
/// Packed sequences of that many queries and keys each, under a window.
inline auto groups(int queries, int keys, attn::Window const& w = {.before = 1 << 20, .after = 1 << 20}) {
  return [=](auto& arrays, Shape const& s) {
    AnyMask mask = window(w)(arrays, s);
    mask.queries_per_group = queries;
    mask.keys_per_group = keys;
    return mask;
  };
}

/// Runs forward and, unless told otherwise, backward. `make_activation` and `make_mask` are given the Arrays of the
/// kernel's memory.
template <class Kernel, bool with_norms = false, bool with_bias = false, bool with_backward = true, class T,
          class MakeActivation, class MakeMask, class Dropout = attn::NoDropout>
Outputs<T> run(Inputs<T> const& in, MakeActivation const& make_activation, MakeMask const& make_mask,
               double score_scale = 0, Dropout const& dropout = {}) {
  using Memory = typename Kernel::Exec::memory_space;
  using X = attn::Tensor<T, 4, Memory>;
  using R = attn::RealOf<T>;
  Shape const& s = in.shape;
  typename Kernel::Exec const exec;
  Arrays<Memory> arrays;
  auto const a = [&] {
    if constexpr (requires { make_activation(arrays, R()); }) {
      return make_activation(arrays, R());
    } else {
      return make_activation(arrays);
    }
  }();
  auto const mask = [&] {
    if constexpr (requires { make_mask(arrays, s); }) {
      return make_mask(arrays, s);
    } else {
      return make_mask(arrays);
    }
  }();
  using A = std::remove_const_t<decltype(a)>;
  using M = std::remove_const_t<decltype(mask)>;

  attn::Extents<4> const q_extents{s.batch, s.heads, s.queries, s.width};
  attn::Extents<4> const k_extents{s.batch, s.kv_heads, s.keys, s.width};
  attn::Extents<4> const v_extents{s.batch, s.kv_heads, s.keys, s.value_width};
  attn::Extents<4> const out_extents{s.batch, s.heads, s.queries, s.value_width};
  auto const unset = [&](std::size_t n) { return arrays.put(std::vector<T>(n, T(R(-77)))); };
  X const q(arrays.put(in.q), q_extents), k(arrays.put(in.k), k_extents), v(arrays.put(in.v), v_extents);
  T *const out_memory = unset(in.d_out.size()), *const d_q_memory = unset(in.q.size()),
           *const d_k_memory = unset(in.k.size()), *const d_v_memory = unset(in.v.size());
  X const d_out(arrays.put(in.d_out), out_extents), out(out_memory, out_extents);
  X const d_q(d_q_memory, q_extents), d_k(d_k_memory, k_extents), d_v(d_v_memory, v_extents);
  attn::Saved<A, T, Memory> const saved(s.batch, s.heads, s.queries);

  Outputs<T> result;
  auto const bias = [&] {
    if constexpr (with_bias) {
      attn::Extents<4> const extents{s.biases, s.bias_heads, s.queries, s.keys};
      attn::Tensor<R, 4, Memory> const gradient(nullptr, {s.kept_apart(), s.bias_heads, s.queries, s.keys});
      std::vector<R> const zeros(std::size_t(gradient.size()), R(0));
      return attn::ScoreBias<R, Memory>{{arrays.put(in.bias), extents}, {arrays.put(zeros), gradient.extents()}};
    } else {
      return attn::NoBias{};
    }
  }();
  using Bias = std::remove_const_t<decltype(bias)>;
  attn::AttentionOptions<M, attn::NoNorms, attn::Fp32Products, Bias, Dropout> const options{
      .mask = mask, .score_scale = score_scale, .bias = bias, .dropout = dropout};
  if constexpr (with_norms) {
    std::size_t const n = std::size_t(s.batch * s.heads);
    T *const frobenius = unset(n), *const jacobian = unset(n);
    attn::AttentionNorms<T, Memory> const norms{{frobenius, {s.batch, s.heads}}, {jacobian, {s.batch, s.heads}}};
    Kernel::forward(exec, a, q, k, v, out, saved,
                    attn::AttentionOptions<M, attn::AttentionNorms<T, Memory>, attn::Fp32Products, Bias, Dropout>{
                        .mask = mask, .score_scale = score_scale, .norms = norms, .bias = bias, .dropout = dropout});
    exec.fence();
    result.frobenius = arrays.get(frobenius, n);
    result.jacobian = arrays.get(jacobian, n);
  } else {
    Kernel::forward(exec, a, q, k, v, out, saved, options);
  }
  if constexpr (with_backward) Kernel::backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
  exec.fence();
  result.out = arrays.get(out_memory, in.d_out.size());
  result.d_q = arrays.get(d_q_memory, in.q.size());
  result.d_k = arrays.get(d_k_memory, in.k.size());
  result.d_v = arrays.get(d_v_memory, in.v.size());
  if constexpr (with_bias) result.d_bias = arrays.get(bias.gradient.data(), std::size_t(bias.gradient.size()));
  if constexpr (attn::LearnableActivation<A, T>) {
    auto const p = a.parameters();
    auto const gradient = arrays.get(p.gradient, std::size_t(A::n_parameters * (p.per_head ? s.heads : 1)));
    result.d_parameters.assign(gradient.begin(), gradient.end());
  }
  return result;
}

/// <x, y>, and the numbers behind a vector of jets.
inline double inner(std::vector<double> const& x, std::vector<double> const& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}
template <class T>
std::vector<double> coefficients(std::vector<T> const& x) {
  std::vector<double> all;
  for (T const& jet : x) {
    if constexpr (attn::Real<T>) {
      all.push_back(jet);
    } else {
      for (double const c : jet.coefficients) all.push_back(c);
    }
  }
  return all;
}

inline Inputs<double> as_double(auto const& in) {
  auto const wide = [](auto const& x) { return std::vector<double>(x.begin(), x.end()); };
  return {in.shape, wide(in.q), wide(in.k), wide(in.v), wide(in.d_out), wide(in.bias)};
}

/// All results of two kernels agree, relative to the largest number of an array, or to one: where terms cancel, the
/// error is relative to the terms. The gradient of a parameter is a sum over all scores.
template <class T, class U>
attn::testing::Verdict agree(Outputs<T> const& got, Outputs<U> const& want, double tolerance, Shape const& s = {}) {
  attn::testing::Verdict verdict;
  auto const compare = [&](char const* name, std::vector<double> x, std::vector<double> y, double scale = 1) {
    x.push_back(scale);
    y.push_back(scale);
    verdict &= attn::testing::allclose(x, y, tolerance).about(name);
  };
  compare("out", coefficients(got.out), coefficients(want.out));
  compare("d_q", coefficients(got.d_q), coefficients(want.d_q));
  compare("d_k", coefficients(got.d_k), coefficients(want.d_k));
  compare("d_v", coefficients(got.d_v), coefficients(want.d_v));
  compare("d_bias", coefficients(got.d_bias), coefficients(want.d_bias));
  compare("d_parameters", coefficients(got.d_parameters), coefficients(want.d_parameters),
          std::sqrt(double(s.batch * s.heads * s.queries * s.keys)));
  return verdict;
}

/// `length`: of the longest sum, from which the tolerance follows. In double, the textbook is as good as exact.
template <class T>
void expect_agreement(Outputs<T> const& got, Outputs<double> const& want, double length, Shape const& s) {
  auto const verdict = agree(got, want, attn::testing::tolerance<T>(length), s);
  EXPECT_TRUE(verdict) << "B " << s.batch << "/" << s.biases << ", H " << s.heads << "/" << s.kv_heads << "/"
                       << s.bias_heads << ", N " << s.queries << ", M " << s.keys << ", D " << s.width << ", E "
                       << s.value_width << "\n"
                       << verdict.message();
}

/// The same inputs with a number that is not finite in the first, a middle and the last token of each array in turn: in
/// one column, or in all.
template <class T>
std::vector<Inputs<T>> with_numbers_that_are_not_finite(Inputs<T> const& in) {
  std::vector<Inputs<T>> all;
  auto const spoil = [&](std::vector<T> Inputs<T>::*array, Index tokens, Index width) {
    for (Index const token : {Index(0), tokens / 2, tokens - 1}) {
      Inputs<T> spoilt = in;
      bool const one = all.size() % 2 == 0;
      T const number = all.size() % 3 == 1 ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::quiet_NaN();
      std::vector<T>& x = spoilt.*array;
      for (Index row = token; row < Index(x.size()) / width; row += tokens) {
        for (Index d = one ? width / 2 : 0; d < (one ? width / 2 + 1 : width); ++d) {
          x[std::size_t(row * width + d)] = number;
        }
      }
      all.push_back(spoilt);
    }
  };
  Shape const& s = in.shape;
  spoil(&Inputs<T>::q, s.queries, s.width);
  spoil(&Inputs<T>::k, s.keys, s.width);
  spoil(&Inputs<T>::v, s.keys, s.value_width);
  spoil(&Inputs<T>::d_out, s.queries, s.value_width);
  return all;
}

/// `agree` where inputs are not all finite: what is finite in `want` agrees, and what is not is not in `got`.
template <class T>
attn::testing::Verdict agree_where_finite(Outputs<T> got, Outputs<double> want, double tolerance, Shape const& s) {
  attn::testing::Verdict verdict;
  auto const compare = [&](char const* name, std::vector<T>& x, std::vector<double>& y) {
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (std::isfinite(x[i]) != std::isfinite(y[i])) {
        std::string const what = std::isfinite(y[i]) ? "is not finite, but " : "is finite, but ";
        verdict &= attn::testing::Verdict("[" + std::to_string(i) + "] " + what + std::to_string(y[i]) + " is right")
                       .about(name);
        return;
      }
      if (!std::isfinite(y[i])) x[i] = T(0), y[i] = 0;
    }
  };
  compare("out", got.out, want.out);
  compare("d_q", got.d_q, want.d_q);
  compare("d_k", got.d_k, want.d_k);
  compare("d_v", got.d_v, want.d_v);
  compare("d_bias", got.d_bias, want.d_bias);
  compare("d_parameters", got.d_parameters, want.d_parameters);
  return verdict &= agree(got, want, tolerance, s);
}

}  // namespace attn_test
