/// From a call of attention to the path that is linear in the number of tokens: whether it may serve, whether it does,
/// and the launch.
#pragma once

#include "attn/activation/concepts.hpp"
#include "attn/attention/detail/linear/backward.hpp"
#include "attn/attention/detail/linear/cost.hpp"
#include "attn/attention/detail/norm_sums.hpp"

namespace attn::detail::linear {

/// Whether types allow this path, in whose arithmetic is that of the tensors' numbers.
template <Pass pass, class Exec, class A, class Options, class T, class... Tensors>
constexpr bool may_serve() {
  if constexpr (attn::has_packs && HostExecutionSpace<Exec> && Real<T> && StatesPolynomial<A> &&
                std::same_as<decltype(Options::bias), NoBias> && begins_with_first_key<decltype(Options::mask)>) {
    return Activation<A, Pack<T>> && (std::same_as<typename Tensors::Scalar, T> && ...) &&
           (pass == Pass::backward || !wants_norms<decltype(Options::norms)>);
  } else {
    return false;
  }
}

template <class T, class M>
LinearPlan plan_of(unsigned degrees, host::Shape const& shape, M const&) {
  constexpr int block = host::block_queries<T>;
  constexpr bool same = shows_all_the_same<M>;
  return {.shape = shape,
          .degrees = degrees,
          .same_keys = same,
          .chunk = same ? 4 * block : 2 * block,
          .pack = host::pack_width<T>};
}

/// How many pairs of a query and a key the mask shows, over all sequences; under masks that are not those of the
/// library about as many.
template <Mask M>
double pairs_of(M const& mask, host::Shape const& s) {
  int const steps = shows_all_the_same<M> ? 1 : 64;
  double pairs = 0;
  for (int b = 0; b < s.batch; ++b) {
    for (int step = 0; step < steps; ++step) {
      Index const i = (Index(2 * step + 1) * s.n_queries) / (2 * steps);
      KeyRange const keys = mask.keys({b, static_cast<int>(i), s.n_queries, s.n_keys});
      pairs += double(std::max(keys.end - keys.begin, 0)) * s.n_queries / steps;
    }
  }
  return pairs;
}

/// Whether this path takes a call that types allow it.
template <class T, class A, class Options>
bool serves(Pass pass, A const& a, Options const& options, host::Shape const& shape) {
  if (options.path == AttentionPath::quadratic) return false;
  bool const is_empty =
      shape.batch * shape.heads * shape.n_queries * shape.n_keys * shape.width * shape.value_width == 0;
  unsigned const degrees = a.degrees();
  ATTN_CHECK(options.path != AttentionPath::linear || degrees != 0,
             "attention: take another path than linear for a power above ", max_degree);
  if (degrees == 0 || is_empty) return false;
  if (options.path == AttentionPath::linear) return true;
  LinearPlan const plan = plan_of<T>(degrees, shape, options.mask);
  // What is measured: sums that stay in the cache of a core.
  constexpr double most_bytes = 1 << 20;
  double const bytes = double(plan.rows()) * double(plan.row()) * double(sizeof(T));  // more than Index counts, perhaps
  if (bytes > most_bytes || shape.n_keys < host::block_queries<T>) return false;
  Cost const cost = cost_of(pass, plan, pairs_of(options.mask, shape));
  return cost.linear < cost.quadratic;
}

/// "attn::attention (host, linear in tokens, 48 at a time, fp32)"
template <class T>
std::string region_of(Pass pass) {
  return region_name(pass, "host, linear in tokens, " + std::to_string(host::block_queries<T>) + " at a time, " +
                               (sizeof(T) == 4 ? "fp32" : "fp64"));
}

/// The options of the call that the quadratic kernel gets: under a mask that does not show all queries the same keys,
/// `chunked` leaves those of a chunk to it.
template <class T, class Options>
auto quadratic_options(Options const& options, bool chunked) {
  if constexpr (shows_all_the_same<decltype(Options::mask)>) {
    (void)chunked;
    return options;
  } else {
    using M = FromChunk<decltype(Options::mask)>;
    return AttentionOptions<M, decltype(Options::norms), typename Options::Products, NoBias,
                            decltype(Options::dropout)>{
        .mask = {options.mask, chunked ? 2 * host::block_queries<T> : 0},
        .score_scale = options.score_scale,
        .norms = options.norms,
        .dropout = options.dropout};
  }
}

template <class T, class X>
auto on_host(X const& x) {
  return Tensor<T, 4, Kokkos::HostSpace>(x.data(), x.extents(), x.strides());
}

/// A plan and coefficients, in scratch that lives as long as this.
template <class T>
class Prepared {
 public:
  template <class A, class Options>
  Prepared(A const& a, Options const& options, host::Shape const& shape)
      : plan(plan_of<T>(a.degrees(), shape, options.mask)), scratch_(bytes()) {
    int* seen = nullptr;
    Index* tables = nullptr;
    bytes(Arena(scratch_.data()), seen, tables);
    plan.seen = seen;
    plan.monomials.make_tables(tables);
    for (int b = 0; b < shape.batch; ++b) {
      for (int at = 0; at < plan.chunks(); ++at) {
        KeyRange const keys = options.mask.keys({b, plan.first_query(at), shape.n_queries, shape.n_keys});
        seen[b * plan.chunks() + at] = std::max(keys.end, 0);
      }
      for (int h = 0; h < shape.heads; ++h) {
        Row const row{options.mask.length(b, shape.n_keys), h};
        Coefficients& c = coefficients[b * shape.heads + h] = {};
        for (int m = 0; m <= max_degree; ++m) c.of[m] = plan.has(m) ? a.coefficient(m, row) : 0;
      }
    }
  }

  LinearPlan plan;
  Coefficients* coefficients = nullptr;
  double* d_coefficients = nullptr;

 private:
  using Arena = host::Arena;
  std::size_t bytes(Arena arena, int*& seen, Index*& tables) {
    Index const heads = plan.shape.batch * plan.shape.heads;
    coefficients = arena.take<Coefficients>(heads);
    d_coefficients = arena.take<double>(heads * (max_degree + 1));
    seen = arena.take<int>(plan.shape.batch * plan.chunks());
    tables = arena.take<Index>(plan.monomials.table_size());
    return arena.used();
  }
  std::size_t bytes() {
    int* seen = nullptr;
    Index* tables = nullptr;
    return bytes(Arena(), seen, tables);
  }

  host::Scratch scratch_;
};

template <class Exec, class A, class Q, class K, class V, class O, class Options>
void forward(std::string const& name, Exec const& exec, A const& a, Q const& q, K const& k, V const& v, O const& out,
             Options const& options) {
  using T = typename O::Scalar;
  host::Shape const shape(q, k, v);
  Prepared<T> const p(a, options, shape);
  LinearForward<T>{{p.plan, nullptr},   on_host<T const>(q), on_host<T const>(k),
                   on_host<T const>(v), on_host<T>(out),     host::score_scale<T>(options, shape.width),
                   p.coefficients,      !p.plan.same_keys}
      .run(name, exec);
}

template <class Exec, class A, class Q, class K, class V, class DO, class DQ, class DK, class DV, class Options>
void backward(std::string const& name, Exec const& exec, A const& a, Q const& q, K const& k, V const& v,
              DO const& d_out, DQ const& d_q, DK const& d_k, DV const& d_v, Options const& options) {
  using T = typename DQ::Scalar;
  host::Shape const shape(q, k, v);
  Prepared<T> const p(a, options, shape);
  LinearBackward<T>{{{p.plan, nullptr},
                     on_host<T const>(q),
                     on_host<T const>(k),
                     on_host<T const>(v),
                     {},
                     host::score_scale<T>(options, shape.width),
                     p.coefficients,
                     !p.plan.same_keys},
                    on_host<T const>(d_out),
                    on_host<T>(d_q),
                    on_host<T>(d_k),
                    on_host<T>(d_v),
                    p.d_coefficients}
      .run(name, exec);
  if constexpr (LearnableActivation<A, T>) {
    auto const trained = a.parameters();
    if (trained.gradient == nullptr) return;
    for (int i = 0; i < (trained.per_head ? int(shape.heads) : 1) * A::n_parameters; ++i) {
      int const parameter = i % A::n_parameters;
      double total = 0;
      for (int b = 0; b < shape.batch; ++b) {
        for (int h = 0; h < shape.heads; ++h) {
          if (trained.per_head && h != i / A::n_parameters) continue;
          Row const row{options.mask.length(b, shape.n_keys), h};
          for (int m = 0; m <= max_degree; ++m) {
            double const d_c = p.d_coefficients[(b * shape.heads + h) * (max_degree + 1) + m];
            if (d_c != 0)
              total += a.coefficient_slope(m, parameter, row) * d_c;  // of no keys, the slope may be infinite
          }
        }
      }
      trained.gradient[i] += static_cast<std::remove_cvref_t<decltype(*trained.gradient)>>(total);
    }
  }
}

}  // namespace attn::detail::linear
