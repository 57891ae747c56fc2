/// Dropout on the host: factors m_ij / (1 - rate) of a tile of weights, drawn in lanes for each pass anew.
#pragma once

#include "attn/attention/detail/host/call.hpp"
#include "attn/attention/dropout.hpp"

namespace attn::detail::host {

/// x[i] *= factors[i] for n numbers, which lie in whole packs of memory.
template <class T>
void multiply(T* x, T const* factors, Index n) {
  using P = Pack<T>;
  for (Index i = 0; i < n; i += P::width) (P::load(x + i) * P::load(factors + i)).store(x + i);
}

/// Nothing is dropped.
template <class T, class Dropout>
struct TileDropout {
  TileDropout(Dropout const&, T*) {}
  static Index numbers(Index) { return 0; }
  template <class P, int Columns>
  T const* of_block(Index, int, int, int) const {
    return nullptr;
  }
  T const* of_row(Index, int, int, int) const { return nullptr; }
  T const* of_sequences(Index, Index, int, int, int) const { return nullptr; }
};

/// Each function draws the factors of a tile, over those of the one before; null where nothing is dropped.
template <class T>
class TileDropout<T, AttentionDropout> {
 public:
  TileDropout(AttentionDropout const& dropout, T* factors) : dropout_(dropout), factors_(factors) {}

  /// Of the scratch memory that a tile of n weights wants.
  static Index numbers(Index n) { return n; }

  /// (n_keys, Columns packs): the keys from `key` on, queries from `query` on in lanes.
  template <class P, int Columns>
  T const* of_block(Index head, int query, int key, int n_keys) const {
    if (!dropout_.is_on()) return nullptr;
    Head const d(dropout_, head);
    for (int c = 0; c < Columns; ++c) {
      Bits<P> const queries = static_cast<std::uint32_t>(query + c * P::width) + lane_numbers<P>();
      draw<P>(d, d.rows.row(queries), key, n_keys, factors_ + c * P::width, Columns * P::width);
    }
    return factors_;
  }

  /// Of one query, keys in lanes, as many as fill packs.
  T const* of_row(Index head, int query, int key, int n_keys) const {
    using P = Pack<T>;
    if (!dropout_.is_on()) return nullptr;
    Head const d(dropout_, head);
    auto const row = d.rows.row(static_cast<std::uint32_t>(query));
    for (int j = 0; j < n_keys; j += P::width) {
      Bits<P> const keys = static_cast<std::uint32_t>(key + j) + lane_numbers<P>();
      Bits<P> const word = row.word(Head::word_of(keys));
      factors<P>(d, Head::is_first(keys) ? Head::first_draw(word) : word).store(factors_ + j);
    }
    return factors_;
  }

  /// (n_keys, 1 pack) of one query; head `head` of the sequence in the first lane, and in the others those `heads`
  /// further.
  T const* of_sequences(Index head, Index heads, int query, int key, int n_keys) const {
    using P = Pack<T>;
    if (!dropout_.is_on()) return nullptr;
    RandomRows<Bits<P>> rows{};
    for (int l = 0; l < P::width; ++l) {
      RandomRows<> const of_lane = Head(dropout_, head + l * heads).rows;
      rows.first[l] = of_lane.first;
      rows.second[l] = of_lane.second;
    }
    draw<P>(Head(dropout_, head), rows.row(static_cast<std::uint32_t>(query)), key, n_keys, factors_, P::width);
    return factors_;
  }

 private:
  using Head = HeadDropout<T, AttentionDropout>;

  /// Numbers of 32 bits in as many lanes as a pack has.
  template <class P>
  struct BitsOf {
    typedef std::uint32_t Vector __attribute__((vector_size(P::width * sizeof(std::uint32_t))));
  };
  template <class P>
  using Bits = typename BitsOf<P>::Vector;

  template <class P>
  static Bits<P> lane_numbers() {
    Bits<P> numbers{};
    for (int l = 0; l < P::width; ++l) numbers[l] = static_cast<std::uint32_t>(l);
    return numbers;
  }

  template <class P>
  static P factors(Head const& d, Bits<P> draws) {
    using Integers = typename lanes::IntegersOf<P>::Vector;
    P const factor(d.factor), zero(T(0));
    return __builtin_convertvector(draws >= d.limit, Integers) ? factor.lanes : zero.lanes;
  }

  /// A row of `to` for each key, rows of random words in lanes.
  template <class P, class Row>
  static void draw(Head const& d, Row const& row, int key, int n_keys, T* to, Index step) {
    for (int j = key; j < key + n_keys; ++j) {
      bool const is_first = Head::is_first(j);
      if (!is_first && j - 8 >= key) continue;  // drawn with its partner
      Bits<P> const word = row.word(static_cast<std::uint32_t>(Head::word_of(j)));
      T* const at = to + (j - key) * step;
      factors<P>(d, is_first ? Head::first_draw(word) : word).store(at);
      if (is_first && j + 8 < key + n_keys) factors<P>(d, word).store(at + 8 * step);
    }
  }

  AttentionDropout const& dropout_;
  T* factors_;
};

}  // namespace attn::detail::host
