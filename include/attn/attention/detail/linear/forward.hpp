/// The forward pass in a time that is linear in the number of tokens.
///
///     S_f   = sum over keys j of f(k_j) v_j                           for each monomial f, a row of E numbers
///     out_i = sum over degrees m of c_m sum over f of degree m of n_f f(score_scale q_i) S_f
///
/// S grows from chunk to chunk of queries with the keys that their first queries see.
#pragma once

#include "attn/attention/detail/linear/sums.hpp"

namespace attn::detail::linear {

template <class T>
struct LinearForward : LinearSums<T> {
  using Sums = LinearSums<T>;
  using Sums::plan;
  using typename Sums::Tokens;
  using typename Sums::X;

  X q, k, v;
  Tensor<T, 4, Kokkos::HostSpace> out;
  T score_scale;
  Coefficients const* coefficients;  ///< (B, H)
  bool adds;                         ///< to what `out` holds

  template <HostExecutionSpace Exec>
  void run(std::string const& name, Exec const& exec) {
    Index const heads = plan.shape.batch * plan.shape.key_heads, pieces = plan.pieces(), items = heads * pieces;
    Index const numbers = plan.numbers();
    int const threads = host::workers(exec, items);
    auto const tokens_in = [&](host::Arena& a) { return Tokens(plan, a, false); };
    host::Arena own;
    tokens_in(own);
    Index const own_bytes = static_cast<Index>(own.used());
    host::Arena count;
    auto const carve = [&](host::Arena& a) {
      return std::tuple(a.take<T>(plan.rows()), a.take<T>(plan.same_keys ? 0 : threads * numbers),
                        a.take<std::byte>(threads * own_bytes), a.take<T>((pieces > 1 ? items : threads) * numbers));
    };
    carve(count);
    host::Scratch const scratch(count.used());
    host::Arena arena(scratch.data());
    auto const [n, weighed, token_bytes, sums] = carve(arena);
    Sums::fill_orders(plan, n);
    this->orders = n;

    if (pieces > 1) {
      host::share(name, exec, items, 1, [&, sums = sums, token_bytes = token_bytes](Index first, Index, int worker) {
        host::Arena a(token_bytes + worker * own_bytes);
        Tokens tokens = tokens_in(a);
        add_keys_of(tokens, first / pieces, first % pieces, sums + first * numbers);
      });
      this->gather(name, exec, plan.same_keys ? Gather::total : Gather::before, heads, sums);
    }
    host::share(
        name, exec, items, 1,
        [&, sums = sums, weighed = weighed, token_bytes = token_bytes](Index first, Index, int worker) {
          Index const head = first / pieces, piece = first % pieces;
          host::Arena a(token_bytes + worker * own_bytes);
          Tokens tokens = tokens_in(a);
          T* const own_sums = sums + (pieces == 1 ? worker : head * pieces + (plan.same_keys ? 0 : piece)) * numbers;
          if (pieces == 1) add_keys_of(tokens, head, 0, own_sums);
          scan(tokens, head, piece, own_sums, plan.same_keys ? nullptr : weighed + worker * numbers,
               [&](Index b, Index h, int i, int n_queries, T const* s) { write(tokens, b, h, i, n_queries, s); });
        });
  }

  /// The sums of the keys of a piece, weighed where nothing is added to them.
  void add_keys_of(Tokens& tokens, Index head, Index piece, T* sums) const {
    Index const b = head / plan.shape.key_heads, h = head % plan.shape.key_heads;
    KeyRange const keys = plan.keys_of(b, piece);
    std::fill_n(sums, plan.numbers(), T(0));
    this->add(tokens, k, T(1), v, b, h, h, keys.begin, keys.end, sums);
    if (plan.same_keys && plan.pieces() == 1) this->weigh(sums, sums);
  }

  /// Calls visit(b, h, first query, queries, weighed sums) for the blocks of queries of a piece that see keys, with the
  /// sums over the keys that they see. Calls it with null for queries that see none. `sums` are those that the first
  /// chunk of the piece sees, weighed already where all see the same.
  template <class Visit>
  void scan(Tokens& tokens, Index head, Index piece, T* sums, T* weighed, Visit const& visit) const {
    Index const b = head / plan.shape.key_heads, key_head = head % plan.shape.key_heads, group = plan.shape.group();
    int seen = plan.keys_seen(b, plan.first_chunk(piece));
    bool is_new = true;
    for (int at = plan.first_chunk(piece); at < plan.first_chunk(piece + 1); ++at) {
      int const now = plan.keys_seen(b, at);
      if (now > seen) {
        this->add(tokens, k, T(1), v, b, key_head, key_head, seen, now, sums);
        seen = now;
        is_new = true;
      }
      if (is_new && now > 0 && !plan.same_keys) this->weigh(sums, weighed);
      is_new = false;
      T const* const shown = now == 0 ? nullptr : (plan.same_keys ? sums : weighed);
      for (Index h = key_head * group; h < (key_head + 1) * group; ++h) {
        for (int i = plan.first_query(at), last = plan.first_query(at + 1); i < last; i += Tokens::lanes) {
          visit(b, h, i, std::min(Tokens::lanes, last - i), shown);
        }
      }
    }
  }

 private:
  void write(Tokens& tokens, Index b, Index h, int first, int n, T const* weighed) const {
    bool is_first = !adds;
    if (weighed == nullptr) {
      for (int i = first; i < first + n && is_first; ++i) std::fill_n(&out(b, h, i, 0), plan.shape.value_width, T(0));
      return;
    }
    tokens.take(q, b, h, first, n, score_scale);
    for (int m = 0; m <= max_degree; ++m) {
      if (!plan.has(m)) continue;
      put(tokens.result(weighed, m), T(coefficients[b * plan.shape.heads + h].of[m]), is_first, out, b, h, first, n);
      is_first = false;
    }
  }

 public:
  /// x (lanes in columns) times `factor` -> rows `first` to `first + n` of y, or added to them.
  template <class Y>
  static void put(T const* x, T factor, bool is_first, Y const& y, Index b, Index h, int first, int n) {
    using P = Pack<T>;
    P const factors[columns] = {P(factor), P(factor), P(factor)};
    if (is_first) {
      host::unpack_lanes<P, columns>(x, factors, y, b, h, first, n);
    } else {
      host::unpack_lanes<P, columns, true>(x, factors, y, b, h, first, n);
    }
  }
};

}  // namespace attn::detail::linear
