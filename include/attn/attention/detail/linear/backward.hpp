/// The backward pass in a time that is linear in the number of tokens.
///
///     S_f = sum over keys j of f(k_j) v_j             G_f = sum over queries i of f(score_scale q_i) d_out_i
///
///     forward: out_i = sum c_m n_f f(q_i) S_f; hence
///     d_f(q_i) = c_m n_f <S_f, d_out_i>, over the keys that i sees
///     d_f(k_j) = c_m n_f <G_f, v_j>,     over the queries that see j
///     d_v_j    = sum c_m n_f f(k_j) G_f
///     d_c_m    = sum over j of <v_j, sum n_f f(k_j) G_f>
///
/// and d_f gives d_q and d_k by the product rule. S grows from the first chunk of queries to the last, G the other way.
#pragma once

#include "attn/attention/detail/linear/forward.hpp"

namespace attn::detail::linear {

template <class T>
struct LinearBackward {
  using Forward = LinearForward<T>;
  using Tokens = typename Forward::Tokens;
  using X = typename Forward::X;
  using Y = Tensor<T, 4, Kokkos::HostSpace>;
  using P = Pack<T>;

  Forward forward;  ///< whose `out` nobody asks for; `adds` is for all gradients
  X d_out;
  Y d_q, d_k, d_v;
  double* d_coefficients;  ///< (B, H, max_degree + 1), overwritten

  LinearPlan const plan = forward.plan;

  template <HostExecutionSpace Exec>
  void run(std::string const& name, Exec const& exec) {
    host::Shape const& shape = plan.shape;
    Index const pieces = plan.pieces(), heads = shape.batch * shape.key_heads, all_heads = shape.batch * shape.heads;
    Index const items = heads * pieces, query_items = all_heads * pieces, numbers = plan.numbers();
    bool const cut = pieces > 1;
    int const threads = host::workers(exec, cut ? items + query_items : items);
    auto const tokens_in = [&](host::Arena& a) { return Tokens(plan, a, true); };
    host::Arena own;
    tokens_in(own);
    Index const own_bytes = static_cast<Index>(own.used());
    constexpr Index moments = max_degree + 1;
    host::Arena count;
    auto const carve = [&](host::Arena& a) {
      return std::tuple(a.take<T>(plan.rows()), a.take<T>(plan.same_keys ? 0 : threads * numbers),
                        a.take<std::byte>(threads * own_bytes), a.take<T>((cut ? items : threads) * numbers),
                        a.take<T>((cut ? query_items : threads) * numbers), a.take<double>(query_items * moments));
    };
    carve(count);
    host::Scratch const scratch(count.used());
    host::Arena arena(scratch.data());
    auto const [n, weighed, token_bytes, s, g, d_c] = carve(arena);
    Forward::fill_orders(plan, n);
    forward.orders = n;
    std::fill_n(d_c, query_items * moments, 0.0);

    auto const work = [&, token_bytes = token_bytes](Index n_items, auto const& f) {
      host::share(name, exec, n_items, 1, [&](Index item, Index, int worker) {
        host::Arena a(token_bytes + worker * own_bytes);
        Tokens tokens = tokens_in(a);
        f(tokens, item, worker);
      });
    };
    if (cut) {
      work(items + query_items, [&, s = s, g = g](Tokens& tokens, Index item, int) {
        if (item < items) {
          forward.add_keys_of(tokens, item / pieces, item % pieces, s + item * numbers);
        } else {
          item -= items;
          add_queries_of(tokens, item / pieces, item % pieces, g + item * numbers);
        }
      });
      forward.gather(name, exec, plan.same_keys ? Gather::total : Gather::before, heads, s);
      forward.gather(name, exec, plan.same_keys ? Gather::total : Gather::behind, all_heads, g);
    }
    work(cut ? 2 * items : items,
         [&, s = s, g = g, weighed = weighed, d_c = d_c](Tokens& tokens, Index item, int worker) {
           bool const is_for_queries = item < items;
           item -= is_for_queries ? 0 : items;
           Index const head = item / pieces, piece = item % pieces, at = plan.same_keys ? 0 : piece;
           T* const own_weighed = plan.same_keys ? nullptr : weighed + worker * numbers;
           if (is_for_queries) {
             T* const sums = s + (cut ? head * pieces + at : worker) * numbers;
             if (!cut) forward.add_keys_of(tokens, head, piece, sums);
             forward.scan(tokens, head, piece, sums, own_weighed,
                          [&](Index b, Index h, int first, int n_queries, T const* weighed_sums) {
                            pull_queries(tokens, b, h, first, n_queries, weighed_sums);
                          });
           }
           if (is_for_queries && cut) return;
           clear_unseen(head, piece);
           Index const b = head / shape.key_heads, key_head = head % shape.key_heads, group = shape.group();
           for (Index h = 0; h < group; ++h) {
             Index const query_head = b * shape.heads + key_head * group + h;
             T* const sums = g + (cut ? query_head * pieces + at : worker) * numbers;
             if (!cut) std::fill_n(sums, numbers, T(0));
             scan_back(tokens, head, h, piece, sums, own_weighed, d_c + (query_head * pieces + piece) * moments);
           }
         });
    for (Index h = 0; h < all_heads; ++h) {
      for (Index m = 0; m < moments; ++m) {
        double total = 0;
        for (Index piece = 0; piece < pieces; ++piece) total += d_c[(h * pieces + piece) * moments + m];
        d_coefficients[h * moments + m] = total;
      }
    }
  }

 private:
  /// Adds what queries of a chunk contribute to G.
  void add_queries(Tokens& tokens, Index b, Index h, int at, T* sums) const {
    forward.add(tokens, forward.q, forward.score_scale, d_out, b, h, h, plan.first_query(at), plan.first_query(at + 1),
                sums);
  }

  /// What a piece contributes to G: its queries where all see the same keys; otherwise those of the next piece, which
  /// are the first that see all of its keys.
  void add_queries_of(Tokens& tokens, Index head, Index piece, T* sums) const {
    Index const from = plan.same_keys ? piece : piece + 1, b = head / plan.shape.heads, h = head % plan.shape.heads;
    std::fill_n(sums, plan.numbers(), T(0));
    if (from == plan.pieces()) return;
    for (int at = plan.first_chunk(from); at < plan.first_chunk(from + 1); ++at) add_queries(tokens, b, h, at, sums);
  }

  /// Adds the chunks of a piece to G from the last on, and pulls the keys which a chunk sees and the one before it does
  /// not, when G has all queries that see them.
  void scan_back(Tokens& tokens, Index head, Index h_in_group, Index piece, T* sums, T* weighed, double* d_c) const {
    Index const b = head / plan.shape.key_heads, key_head = head % plan.shape.key_heads;
    Index const h = key_head * plan.shape.group() + h_in_group;
    bool const is_first = !forward.adds && h_in_group == 0;
    if (plan.same_keys && plan.pieces() > 1) {
      KeyRange const keys = plan.keys_of(b, piece);
      if (keys.begin < keys.end) pull_keys(tokens, b, h, key_head, keys, sums, is_first, d_c);
      return;
    }
    for (int at = plan.first_chunk(piece + 1) - 1; at >= plan.first_chunk(piece); --at) {
      KeyRange const keys{at == 0 ? 0 : plan.keys_seen(b, at - 1), plan.keys_seen(b, at)};
      if (keys.end == 0) return;
      add_queries(tokens, b, h, at, sums);
      if (keys.begin == keys.end) continue;
      T* const shown = plan.same_keys ? sums : weighed;
      forward.weigh(sums, shown);
      pull_keys(tokens, b, h, key_head, keys, shown, is_first, d_c);
    }
  }

  void pull_queries(Tokens& tokens, Index b, Index h, int first, int n, T const* weighed) const {
    if (weighed == nullptr) {
      for (int i = first; i < first + n && !forward.adds; ++i) std::fill_n(&d_q(b, h, i, 0), plan.shape.width, T(0));
      return;
    }
    double const* const c = forward.coefficients[b * plan.shape.heads + h].of;
    tokens.take(forward.q, b, h, first, n, forward.score_scale);
    T const* const d_x = tokens.pull(weighed, [&](int m) { return tokens.in_lanes(d_out, b, h, first, n, T(c[m])); });
    Forward::put(d_x, forward.score_scale, !forward.adds, d_q, b, h, first, n);
  }

  void pull_keys(Tokens& tokens, Index b, Index h, Index key_head, KeyRange keys, T const* weighed, bool is_first,
                 double* d_c) const {
    double const* const c = forward.coefficients[b * plan.shape.heads + h].of;
    for (int j = keys.begin; j < keys.end; j += Tokens::lanes) {
      int const n = std::min(Tokens::lanes, keys.end - j);
      tokens.take(forward.k, b, key_head, j, n, T(1));
      T const* const v = tokens.in_lanes(forward.v, b, key_head, j, n, T(1));
      bool overwrites = is_first;
      for (int m = 0; m <= max_degree; ++m) {
        if (!plan.has(m)) continue;
        T const* const pull = tokens.result(weighed, m);
        d_c[m] += dot(v, pull, n);
        Forward::put(pull, T(c[m]), overwrites, d_v, b, key_head, j, n);
        overwrites = false;
      }
      T const* const d_x =
          tokens.pull(weighed, [&](int m) { return tokens.in_lanes(forward.v, b, key_head, j, n, T(c[m])); });
      Forward::put(d_x, T(1), is_first, d_k, b, key_head, j, n);
    }
  }

  /// sum over the first n lanes of x and y (E, lanes).
  double dot(T const* x, T const* y, int n) const {
    double total = 0;
    for (int c = 0; c < columns; ++c) {
      P sum(T(0));
      for (Index e = 0; e < plan.shape.value_width; ++e) {
        Index const at = e * Tokens::lanes + c * P::width;
        sum += P::load(x + at) * P::load(y + at);
      }
      total += host::sum_of_lanes(sum, n - c * P::width);
    }
    return total;
  }

  /// Keys that no query sees pull on nothing.
  void clear_unseen(Index head, Index piece) const {
    if (forward.adds || piece > 0) return;
    Index const b = head / plan.shape.key_heads, h = head % plan.shape.key_heads;
    for (int j = plan.keys_seen(b, 0); j < plan.shape.n_keys; ++j) {
      std::fill_n(&d_k(b, h, j, 0), plan.shape.width, T(0));
      std::fill_n(&d_v(b, h, j, 0), plan.shape.value_width, T(0));
    }
  }
};

}  // namespace attn::detail::linear
