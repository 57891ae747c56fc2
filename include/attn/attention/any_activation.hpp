/// AnyActivation: an activation that is chosen when the program runs.
///
/// A model over it is compiled once, and each kernel once for each activation: what is erased is the call of attention
/// over q, k and v, not the function of a score. Results are those of the concrete activation to the bit.
#pragma once

#include "attn/attention/detail/erased_calls.hpp"

#include <concepts>
#include <cstddef>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace attn {

/// Holds any activation, for the calls that are named; a trivially copyable value without memory of its own.
///
///     using Any = attn::BasicAnyActivation<attn::AttentionCall<Exec, double>, attn::AttentionCall<Exec, double,
///     Causal>>; Any const a = name == "relu" ? Any(attn::Relu{}) : Any(attn::Softmax{}); attn::attention(exec, a, q,
///     k, v, out);
///
/// Whoever makes one of an activation instantiates the kernels of all named calls for it, and no others; a call that is
/// not named does not compile. Modules keep the trained numbers of what it holds under the names that those would have.
template <class... Calls>
class BasicAnyActivation {
 public:
  /// Marks an `ErasedActivation`.
  using Erased = void;
  /// The most trained numbers that what it holds may have.
  static constexpr int max_parameters = 8;

  /// Holds nothing: who computes with it is told to choose.
  BasicAnyActivation() = default;

  template <class A>
  requires(!ErasedActivation<A>) BasicAnyActivation(A const& a) : table_(&detail::table_of<A, Calls...>) {
    static_assert((Activation<A, typename Calls::Accumulator> && ...),
                  "AnyActivation: give an activation for all scalars of the calls: pointwise, template <class T> "
                  "ATTN_FUNCTION T operator()(T score, attn::Row row) const, or row-normalised: see "
                  "attn/activation/concepts.hpp");
    static_assert(std::is_trivially_copyable_v<A> && sizeof(A) <= detail::HeldActivation::capacity && alignof(A) <= 16,
                  "AnyActivation: give an activation that is trivially copyable and has at most 64 bytes; keep larger "
                  "tables in memory of the kernel and point to them");
    static_assert(detail::facts_of<A>().n_parameters <= max_parameters,
                  "AnyActivation: give an activation with at most 8 trained numbers");
    std::memcpy(held_.bytes, &a, sizeof(A));
  }

  bool has_value() const { return table_ != nullptr; }
  /// The type that it holds: "attn::Softmax".
  std::string_view name() const { return facts().name; }
  bool holds_same_type(BasicAnyActivation const& other) const { return table_ == other.table_; }

  // Trained numbers: as of a `LearnableActivation`, but known at run time.

  int n_parameters() const { return facts().n_parameters; }
  char const* parameter_name(int p) const { return facts().parameter_names[p]; }
  double initial_parameter(int p, int n_keys) const { return facts().initial_parameter(p, n_keys); }

  /// The same activation over other numbers, of the real type that scores are computed in.
  template <Real R>
  BasicAnyActivation bind(LearnedParameters<R> const& p) const {
    BasicAnyActivation result = *this;
    result.held_.value = p.value;
    result.held_.gradient = p.gradient;
    result.held_.real_size = int(sizeof(R));
    result.held_.per_head = p.per_head;
    return result;
  }

  /// Whether a call with scalars of type T and such options is in the list.
  template <class Exec, class T, class Options>
  static constexpr bool names_call() {
    return ((std::same_as<Exec, typename Calls::Exec> && std::same_as<T, typename Calls::Scalar> &&
             (std::same_as<Options, typename Calls::Options> ||
              std::same_as<decltype(with_dropout(std::declval<Options>(), AttentionDropout{})),
                           typename Calls::Options>)) ||
            ...);
  }

  // What `attention`, `attention_backward`, `describe` and `Saved` call.

  template <class Exec, class X, class T, class Memory, class M, class Norms, class Products, class Bias, class Dropout>
  void attend(Exec const& exec, X const& q, auto const& k, auto const& v, auto const& out,
              Saved<BasicAnyActivation, T, Memory> const& saved,
              AttentionOptions<M, Norms, Products, Bias, Dropout> const& options) const {
    using Call =
        Serving<AttentionCall<Exec, std::remove_const_t<typename X::Scalar>, M, Norms, Products, Bias, Dropout>>;
    if constexpr (is_named<Call>()) {
      call<Call>().forward(held_, exec, q, k, v, out, saved.memory(), options_of<Call>(options, options.norms));
    }
  }

  template <class Exec, class X, class T, class Memory, class M, class Norms, class Products, class Bias, class Dropout>
  void attend_backward(Exec const& exec, X const& q, auto const& k, auto const& v, auto const& out,
                       Saved<BasicAnyActivation, T, Memory> const& saved, auto const& d_out, auto const& d_q,
                       auto const& d_k, auto const& d_v,
                       AttentionOptions<M, Norms, Products, Bias, Dropout> const& options) const {
    using Call =
        Serving<AttentionCall<Exec, std::remove_const_t<typename X::Scalar>, M, NoNorms, Products, Bias, Dropout>>;
    if constexpr (is_named<Call>()) {
      call<Call>().backward(held_, exec, q, k, v, out, saved.memory(), d_out, d_q, d_k, d_v,
                            options_of<Call>(options, NoNorms()));
    }
  }

  template <class Exec, class X, class M, class Norms, class Products, class Bias, class Dropout>
  std::string describe(Pass pass, Exec const& exec, X const& q, auto const& k, auto const& v, auto const& out,
                       AttentionOptions<M, Norms, Products, Bias, Dropout> const& options) const {
    using Call =
        Serving<AttentionCall<Exec, std::remove_const_t<typename X::Scalar>, M, Norms, Products, Bias, Dropout>>;
    if constexpr (is_named<Call>()) {
      return call<Call>().describe(held_, pass, exec, q, k, v, out, options_of<Call>(options, options.norms));
    }
  }

  /// What a forward pass with scores of type T in that memory keeps.
  template <class T, class Memory>
  Index saved_bytes(Index batch, Index heads, Index queries) const {
    Index bytes = 0;
    auto const look = [&]<class Call>(detail::ErasedCall<Call> const& c) {
      if constexpr (std::same_as<typename Call::Accumulator, T> && std::same_as<typename Call::Memory, Memory>) {
        bytes = c.saved_bytes(batch, heads, queries);
      }
    };
    std::apply([&](auto const&... c) { (look(c), ...); }, table().calls);
    return bytes;
  }

 private:
  template <class Call>
  static constexpr bool is_listed = (std::same_as<Call, Calls> || ...);
  /// The call of the list that serves one: itself, or the one that may drop weights besides.
  template <class Call>
  using Serving =
      std::conditional_t<!is_listed<Call> && is_listed<typename Call::Dropping>, typename Call::Dropping, Call>;

  template <class Call>
  static constexpr bool is_named() {
    static_assert(
        is_listed<Call>,
        "AnyActivation: name this call of attention, attn::AttentionCall<execution space, scalar, mask, "
        "norms, products, bias, dropout>, in the list of attn::BasicAnyActivation<...>: its kernels are compiled for "
        "the calls of the list alone");
    return is_listed<Call>;
  }

  /// The options of a call, in the types of the one that serves it.
  template <class Call>
  static typename Call::Options options_of(auto const& options, auto const& norms) {
    typename Call::Options result{.mask = options.mask,
                                  .score_scale = options.score_scale,
                                  .norms = norms,
                                  .bias = options.bias,
                                  .path = options.path};
    if constexpr (requires { result.dropout = options.dropout; }) result.dropout = options.dropout;
    return result;
  }

  detail::ActivationTable<Calls...> const& table() const {
    ATTN_CHECK(table_ != nullptr, "AnyActivation: choose an activation; this one holds none");
    return *table_;
  }
  detail::ActivationFacts const& facts() const { return table().facts; }
  template <class Call>
  detail::ErasedCall<Call> const& call() const {
    return std::get<detail::ErasedCall<Call>>(table().calls);
  }

  detail::ActivationTable<Calls...> const* table_ = nullptr;
  detail::HeldActivation held_;
};

/// For networks of floats that see all keys, on the default execution space, with norms on request: what `models::Vit`
/// asks for.
using AnyActivation =
    BasicAnyActivation<AttentionCall<>,
                       AttentionCall<Kokkos::DefaultExecutionSpace, float, Full, AttentionNorms<float>>>;

}  // namespace attn
