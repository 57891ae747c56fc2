/// The backward pass on the host: who works on which block of queries, and how what they gather is added up.
///
/// A piece of work is one key head and a part of the queries that see it: all of them when there are enough heads to
/// occupy the machine. Its gradients of K and V gather in scratch, in the order of the queries. Several parts of one
/// head are added in their order afterwards. Shapes alone decide on the parts, so results do not depend on the threads.
#pragma once

#include "attn/attention/detail/choose.hpp"
#include "attn/attention/detail/host/backward_block.hpp"

namespace attn::detail::host {

/// `Block` is a BackwardBlock.
template <class T, class Block>
struct Backward {
  using Gradients = typename Block::Gradients;
  using Sums = typename Block::Sums;
  using Piece = PieceOrder::Piece;

  Block call;
  Shape const shape = call.shape;

  template <HostExecutionSpace Exec>
  void run(AttentionKernel kernel, std::string const& name, Exec const& exec) {
    if constexpr (!Block::biased) {
      if (kernel == AttentionKernel::host_short_sequences) {
        return run_short(name, exec, ShortSequences<T, Block>(call));
      }
    }
    Index const key_heads = shape.batch * shape.key_heads, blocks = shape.query_blocks<T>();
    Index const units = shape.group() * blocks;  // blocks of queries that see a key head
    Index const parts = parts_of(key_heads, units), items = key_heads * parts;
    BiasGradient<T, typename Block::Bias> const d_bias(call.options.bias, shape);
    PieceOrder const order = d_bias.order(parts, shape);
    int const threads = workers(exec, order.n_groups());
    Index const tile_bytes = static_cast<Index>(call.cut_tiles(Arena()).bytes), sums = call.gradient_numbers();
    Index const n_partials = shape.batch * shape.heads * blocks * Block::n_parameters;

    Arena count;
    auto const carve = [&](Arena& c) {
      return std::tuple(c.take<std::byte>(threads * tile_bytes), c.take<T>((parts > 1 ? items : threads) * sums),
                        c.take<double>(n_partials), c.take<T>(d_bias.size(order)),
                        c.take<T>(call.bias_lanes.size(call.options.bias, shape)));
    };
    carve(count);
    Scratch const scratch(count.used());
    Arena arena(scratch.data());
    auto const [tiles, gradients, partials, bias_sums, bias_lanes] = carve(arena);
    if constexpr (Block::biased) call.bias_lanes.fill(name, exec, call.options.bias, shape, bias_lanes);

    share(name, exec, order.n_groups(), std::max<Index>(1, order.n_groups() / (threads * 16)),
          [&, tiles = tiles, gradients = gradients, partials = partials, bias_sums = bias_sums](Index first, Index last,
                                                                                                int worker) {
            for (Index group = first; group < last; ++group) {
              Sums const bias = d_bias.sums(order, bias_sums, group);
              for (Index place = order.first(group); place < order.first(group + 1); ++place) {
                Piece const now = order.at(place);
                T* const own = gradients + (parts > 1 ? now.key_head * parts + now.part : worker) * sums;
                bool const has_next = place + 1 < order.first(last);
                piece(now, has_next ? order.at(place + 1) : Piece{-1, 0}, parts, Arena(tiles + worker * tile_bytes),
                      {own, bias, place == order.first(group) && !d_bias.in_place(order), partials});
                if (parts == 1) write_keys(now.key_head, 0, shape.n_keys, own, 1);
              }
            }
          });
    d_bias.add(name, exec, order, bias_sums);
    if (parts > 1) {
      constexpr int rows = 64;
      Index const pieces = (shape.n_keys + rows - 1) / rows;
      share(name, exec, key_heads * pieces, 1, [&, gradients = gradients](Index first, Index last, int) {
        for (Index item = first; item < last; ++item) {
          Index const head = item / pieces;
          int const key = static_cast<int>(item % pieces) * rows;
          write_keys(head, key, std::min(key + rows, shape.n_keys), gradients + head * parts * sums, parts);
        }
      });
    }
    if constexpr (Block::n_parameters > 0) add_parameter_gradients(partials, blocks);
  }

 private:
  /// The same for short sequences, several at once; one after the other where a mask treats them differently.
  template <class Exec, class Short>
  void run_short(std::string const& name, Exec const& exec, Short const& short_ones) const {
    Index const items = short_ones.groups() * shape.key_heads, sums = call.gradient_numbers();
    int const threads = workers(exec, items);
    Index const bytes = std::max(static_cast<Index>(call.cut_tiles(Arena()).bytes), short_ones.scratch_bytes());
    Index const n_partials = shape.batch * shape.heads * shape.query_blocks<T>() * Block::n_parameters;
    Arena count;
    auto const carve = [&](Arena& c) {
      return std::tuple(c.take<std::byte>(threads * bytes), c.take<T>(threads * sums), c.take<double>(n_partials));
    };
    carve(count);
    Scratch const scratch(count.used());
    Arena arena(scratch.data());
    auto const [tiles, gradients, partials] = carve(arena);
    std::fill_n(partials, n_partials, 0.0);

    share(name, exec, items, std::max<Index>(1, items / (threads * 16)),
          [&, tiles = tiles, gradients = gradients, partials = partials](Index first, Index last, int worker) {
            for (Index item = first; item < last; ++item) {
              Index const group = item / shape.key_heads, key_head = item % shape.key_heads;
              Arena const own(tiles + worker * bytes);
              if (short_ones.are_alike(group)) {
                short_ones.backward(group, key_head, own, [&](Index sequence, Index head) {
                  return partials + (sequence * shape.heads + head) * shape.query_blocks<T>() * Block::n_parameters;
                });
                continue;
              }
              T* const sum = gradients + worker * sums;
              for (int lane = 0; lane < short_ones.lanes_of(group); ++lane) {
                Index const all_heads = (group * Pack<T>::width + lane) * shape.key_heads + key_head;
                piece({all_heads, 0}, {-1, 0}, 1, own, {sum, {}, false, partials});
                write_keys(all_heads, 0, shape.n_keys, sum, 1);
              }
            }
          });
    if constexpr (Block::n_parameters > 0) add_parameter_gradients(partials, shape.query_blocks<T>());
  }

  /// One key head and one part of its queries; what the piece `next` reads first, if there is one, is asked for.
  void piece(Piece const& now, Piece const& next, Index parts, Arena tiles, Gradients const& to) const {
    Index const units = shape.group() * shape.query_blocks<T>();
    Index const first = units * now.part / parts, last = units * (now.part + 1) / parts;
    KeyRange const seen = keys_of(now.key_head, now.part, parts);
    Index const n_seen = std::max(seen.end - seen.begin, 0), width = call.padded_width();
    Index const value_width = call.padded_value_width();
    std::fill_n(to.keys_and_values + seen.begin * width, n_seen * width, T(0));
    std::fill_n(to.keys_and_values + shape.n_keys * width + seen.begin * value_width, n_seen * value_width, T(0));
    for (Index unit = first; unit < last; ++unit) {
      Index const number = now.key_head * units + unit;  // the query heads of a key head are neighbours
      QueryBlock const at = query_block<T>(shape, number);
      Prefetcher soon;
      soon.add(call.d_q, at.batch, at.head, at.first, at.n);
      if (unit == first && parts == 1) {  // written at the end, as far as the processor does not see where that leads
        int const n = std::min(last_key_tile, shape.n_keys);
        soon.add(call.d_k, at.batch, at.head / shape.group(), 0, n);
        soon.add(call.d_v, at.batch, at.head / shape.group(), 0, n);
      }
      // Of short sequences the same block of the next, so that a rest of few queries has little to ask for.
      if (units > 2 && unit + 1 < last) {
        call.will_read(query_block<T>(shape, number + 1), soon);
      } else if (next.key_head >= 0) {
        Index const unit_of_next = units > 2 ? units * next.part / parts : unit;
        call.will_read(query_block<T>(shape, next.key_head * units + unit_of_next), soon);
      }
      if constexpr (Block::biased) {
        if (to.starts_bias && to.bias.data() != nullptr) clear_bias(to.bias, at);
      }
      call.any_block(at, tiles, to, to.parameters + number * Block::n_parameters, soon);
    }
  }

  static void clear_bias(Sums const& bias, QueryBlock const& at) {
    auto const rows = bias_of(bias, at.batch, at.head, 0, static_cast<int>(bias.extent(3)));
    for (int i = 0; i < at.n; ++i) std::fill_n(&rows(0, 0, at.first + i, 0), rows.extent(3), T(0));
  }

  /// Pieces of work that occupy many threads.
  static constexpr Index most_parts = 32;

  /// In how many parts the queries of a key head are cut: enough for many threads, each long enough that the addition
  /// of its gradients costs a few per cent at most.
  static Index parts_of(Index key_heads, Index units) {
    constexpr Index queries_of_part = 512;
    Index const wanted = (most_parts + key_heads - 1) / std::max<Index>(key_heads, 1);
    return std::clamp<Index>(units * block_queries<T> / queries_of_part, 1, std::max<Index>(wanted, 1));
  }

  /// The keys that the queries of a part see, of which alone it has gradients.
  KeyRange keys_of(Index key_head, Index part, Index parts) const {
    Index const blocks = shape.query_blocks<T>(), units = shape.group() * blocks;
    Index const first = units * part / parts, last = units * (part + 1) / parts - 1;
    if (last < first) return {};
    bool const one_head = first / blocks == last / blocks;
    auto const range_of = [&](Index query) {
      int const i = static_cast<int>(std::clamp<Index>(query, 0, shape.n_queries - 1));
      return call.options.mask.keys({static_cast<int>(key_head / shape.key_heads), i, shape.n_queries, shape.n_keys});
    };
    int const begin = range_of(one_head ? first % blocks * block_queries<T> : 0).begin;
    int const end = range_of(one_head ? (last % blocks + 1) * block_queries<T> - 1 : shape.n_queries - 1).end;
    return {begin, end};
  }

  /// Adds the parts of the gradients of keys `begin` to `end` in their order, and writes them.
  void write_keys(Index head, int begin, int end, T const* gradients, Index parts) const {
    Index const b = head / shape.key_heads, h = head % shape.key_heads, step = call.gradient_numbers();
    KeyRange seen[most_parts];
    for (Index part = 0; part < parts; ++part) seen[part] = keys_of(head, part, parts);
    auto const sees = [](KeyRange keys, int j) { return keys.begin <= j && j < keys.end; };
    auto const write = [&](auto const& to, T const* from, int width, int padded) {
      for (int j = begin; j < end; ++j) {
        Index first = 0;
        while (first < parts && !sees(seen[first], j)) ++first;
        for (int d = 0; d < padded; d += Pack<T>::width) {
          T const* const row = from + Index(j) * padded + d;
          auto sum = first < parts ? Pack<T>::load(row + first * step) : Pack<T>(T(0));
          for (Index part = first + 1; part < parts; ++part) {
            if (sees(seen[part], j)) sum += Pack<T>::load(row + part * step);
          }
          auto* const at = to.data() + b * to.stride(0) + h * to.stride(1) + j * to.stride(2) + d;
          if (d + Pack<T>::width <= width) {
            lanes::store(sum, at);
          } else {
            for (int l = 0; l < width - d; ++l) {
              at[l] = static_cast<std::remove_cvref_t<decltype(*at)>>(sum[l]);
            }
          }
        }
      }
    };
    write(call.d_k, gradients, shape.width, call.padded_width());
    T const* const values = gradients + Index(shape.n_keys) * call.padded_width();
    write(call.d_v, values, shape.value_width, call.padded_value_width());
  }

  /// Adds the shares of all blocks in their order.
  void add_parameter_gradients(double const* partials, Index blocks) const {
    auto const p = call.a.parameters();
    if (p.gradient == nullptr) return;
    Index const share = blocks * Block::n_parameters, heads = shape.heads;
    for (Index i = 0; i < (p.per_head ? heads : 1) * Block::n_parameters; ++i) {
      Index const h = i / Block::n_parameters, first_head = p.per_head ? h : 0, last_head = p.per_head ? h + 1 : heads;
      double total = 0;
      for (Index b = 0; b < shape.batch; ++b) {
        for (Index head = first_head; head < last_head; ++head) {
          for (Index block = 0; block < blocks; ++block) {
            total += partials[(b * heads + head) * share + block * Block::n_parameters + i % Block::n_parameters];
          }
        }
      }
      p.gradient[i] += static_cast<std::remove_cvref_t<decltype(*p.gradient)>>(total);
    }
  }
};

}  // namespace attn::detail::host
