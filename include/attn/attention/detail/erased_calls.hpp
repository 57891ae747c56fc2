/// Calls of attention behind pointers to functions: what `AnyActivation` hands them on to.
#pragma once

#include "attn/attention/attention.hpp"
#include "attn/attention/describe.hpp"

#include <algorithm>
#include <cstddef>
#include <new>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace attn {

/// The types of one call of attention: where it runs, what its tensors are of, and its options. With `Norms`, a forward
/// pass alone: a backward pass has none. One that drops weights also serves calls that drop none.
template <ExecutionSpace Exec_ = Kokkos::DefaultExecutionSpace, class Scalar_ = float, Mask Mask_ = Full,
          class Norms_ = NoNorms, class Products_ = Fp32Products, class Bias_ = NoBias, class Dropout_ = NoDropout>
struct AttentionCall {
  using Exec = Exec_;
  using Scalar = Scalar_;
  using Memory = typename Exec::memory_space;
  using Accumulator = AccumulatorOf<Scalar>;
  using Real = RealOf<Accumulator>;
  using Options = AttentionOptions<Mask_, Norms_, Products_, Bias_, Dropout_>;
  using Read = Tensor<Scalar const, 4, Memory>;
  using Written = Tensor<Scalar, 4, Memory>;
  static constexpr bool has_backward = std::same_as<Norms_, NoNorms>;

  /// The call of the same types that drops weights.
  using Dropping = AttentionCall<Exec_, Scalar_, Mask_, Norms_, Products_, Bias_, AttentionDropout>;
};

namespace detail {

/// The name of a type as the compiler writes it: "attn::Poly<3>".
template <class T>
constexpr std::string_view type_name() {
  std::string_view const function = __PRETTY_FUNCTION__;  // "... [with T = float; ...]", by nvcc "... [with T=float]"
  std::size_t const begin =
      function.find("T =") == std::string_view::npos ? function.find("T=") + 2 : function.find("T =") + 4;
  std::size_t const end = std::min(function.find("; ", begin), function.rfind(']'));
  return function.substr(begin, end - begin);
}

/// A concrete activation as bytes, and what its trained numbers are bound to.
struct HeldActivation {
  static constexpr std::size_t capacity = 64;

  alignas(16) std::byte bytes[capacity] = {};
  void const* value = nullptr;  ///< of reals of `real_size` bytes; null: the activation's own
  void* gradient = nullptr;
  int real_size = 0;
  bool per_head = false;

  template <class A>
  A const& as() const {
    return *std::launder(reinterpret_cast<A const*>(bytes));
  }
};

/// The concrete activation over numbers of type R.
template <class R, class A>
auto bound(HeldActivation const& held) {
  A const& a = held.as<A>();
  if constexpr (LearnableActivation<A, R>) {
    auto const bind = [&] {
      return a.bind(
          LearnedParameters<R>{static_cast<R const*>(held.value), static_cast<R*>(held.gradient), held.per_head});
    };
    if (held.value != nullptr) {
      ATTN_CHECK(held.real_size == int(sizeof(R)),
                 "AnyActivation: bind trained numbers of the type that scores are computed in, of ", sizeof(R),
                 " bytes; got ", held.real_size, " bytes");
      return bind();
    }
    if constexpr (std::same_as<decltype(bind()), A>) {
      return a;
    } else {
      ATTN_CHECK(false, "AnyActivation: bind its trained numbers to numbers of the type that scores are computed in, ",
                 "with bind(attn::LearnedParameters<double>{...}) for double");
      return bind();
    }
  } else {
    return a;
  }
}

/// What is asked of an activation beside calls.
struct ActivationFacts {
  std::string_view name = {};
  int n_parameters = 0;
  char const* const* parameter_names = nullptr;
  double (*initial_parameter)(int p, int n_keys) = nullptr;
};

template <class A>
constexpr ActivationFacts facts_of() {
  if constexpr (LearnableActivation<A, float>) {
    return {type_name<A>(), A::n_parameters, A::parameter_names,
            [](int p, int n_keys) { return A::initial_parameters(n_keys)[static_cast<std::size_t>(p)]; }};
  } else {
    return {.name = type_name<A>()};
  }
}

/// The functions of one call; `backward` is null where the call has none.
template <class Call>
struct ErasedCall {
  using Read = typename Call::Read;
  using Written = typename Call::Written;
  using Exec = typename Call::Exec;
  using Options = typename Call::Options;

  void (*forward)(HeldActivation const&, Exec const&, Read const& q, Read const& k, Read const& v, Written const& out,
                  std::byte* saved, Options const&);
  void (*backward)(HeldActivation const&, Exec const&, Read const& q, Read const& k, Read const& v, Read const& out,
                   std::byte* saved, Read const& d_out, Written const& d_q, Written const& d_k, Written const& d_v,
                   Options const&);
  std::string (*describe)(HeldActivation const&, Pass, Exec const&, Read const& q, Read const& k, Read const& v,
                          Written const& out, Options const&);
  Index (*saved_bytes)(Index batch, Index heads, Index queries);
};

/// These functions for a concrete activation: where its kernels are instantiated.
template <class A, class Call>
struct ConcreteCall {
  using Read = typename Call::Read;
  using Written = typename Call::Written;
  using Exec = typename Call::Exec;
  using Options = typename Call::Options;
  using Bound = decltype(bound<typename Call::Real, A>(std::declval<HeldActivation const&>()));
  using SavedOf = Saved<Bound, typename Call::Accumulator, typename Call::Memory>;

  static SavedOf saved_in(std::byte* memory, Written const& out) {
    return memory == nullptr ? SavedOf() : SavedOf(memory, out.extent(0), out.extent(1), out.extent(2));
  }

  static void forward(HeldActivation const& held, Exec const& exec, Read const& q, Read const& k, Read const& v,
                      Written const& out, std::byte* saved, Options const& options) {
    auto const a = bound<typename Call::Real, A>(held);
    check_pointers<typename Call::Accumulator>("attention", a, options.mask);
    attention_forward(exec, a, q, k, v, out, saved_in(saved, out), options);
  }
  static void backward(HeldActivation const& held, Exec const& exec, Read const& q, Read const& k, Read const& v,
                       Read const& out, std::byte* saved, Read const& d_out, Written const& d_q, Written const& d_k,
                       Written const& d_v, Options const& options) {
    attention_gradients(exec, bound<typename Call::Real, A>(held), q, k, v, out, saved_in(saved, d_q), d_out, d_q, d_k,
                        d_v, options);
  }
  static std::string describe(HeldActivation const& held, Pass pass, Exec const& exec, Read const& q, Read const& k,
                              Read const& v, Written const& out, Options const& options) {
    std::string const kernel = attn::describe(pass, exec, bound<typename Call::Real, A>(held), q, k, v, out, options);
    return kernel + " of " + std::string(type_name<A>());
  }

  static constexpr ErasedCall<Call> functions() {
    ErasedCall<Call> f{&forward, nullptr, &describe, &SavedOf::bytes};
    if constexpr (Call::has_backward) f.backward = &backward;
    return f;
  }
};

/// All that is known of a concrete activation. A program holds one for each that it names.
template <class... Calls>
struct ActivationTable {
  ActivationFacts facts;
  std::tuple<ErasedCall<Calls>...> calls;
};
template <class A, class... Calls>
inline constexpr ActivationTable<Calls...> table_of = {facts_of<A>(), {ConcreteCall<A, Calls>::functions()...}};

}  // namespace detail
}  // namespace attn
