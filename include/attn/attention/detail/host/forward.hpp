/// The forward pass on the host: who works on which block of queries.
#pragma once

#include "attn/attention/detail/choose.hpp"
#include "attn/attention/detail/host/forward_block.hpp"
#include "attn/attention/detail/host/short_sequences.hpp"

namespace attn::detail::host {

/// `Block` is a ForwardBlock.
template <class T, class Block>
struct Forward {
  Block call;
  Shape const shape = call.shape;

  template <HostExecutionSpace Exec>
  void run(AttentionKernel kernel, std::string const& name, Exec const& exec) {
    if constexpr (!Block::norms && !Block::biased) {
      if (kernel == AttentionKernel::host_short_sequences) {
        return run_short(name, exec, ShortSequences<T, Block>(call));
      }
    }
    if constexpr (Block::adds_parts) {
      if (int const parts = key_parts<T>(shape); parts > 1) return run_in_parts(name, exec, parts);
    }
    Index const blocks = shape.query_blocks<T>(), items = shape.batch * shape.heads * blocks;
    int const threads = workers(exec, items);
    Index const bytes = static_cast<Index>(call.cut_tiles(Arena()).bytes);
    Index const partial_bytes = Block::norms ? items * Index(sizeof(NormSums<double>)) : 0;
    Index const bias_bytes = call.bias_lanes.size(call.options.bias, shape) * Index(sizeof(T));
    Scratch const scratch(static_cast<std::size_t>(threads * bytes + partial_bytes + bias_bytes));
    std::byte* const tiles = scratch.data();
    auto* const partial = reinterpret_cast<NormSums<double>*>(tiles + threads * bytes);
    if constexpr (Block::biased) {
      auto* const lanes = reinterpret_cast<T*>(tiles + threads * bytes + partial_bytes);
      call.bias_lanes.fill(name, exec, call.options.bias, shape, lanes);
    }

    share(name, exec, items, std::max<Index>(1, items / (threads * 16)), [&](Index first, Index last, int worker) {
      for (Index item = first; item < last; ++item) {
        QueryBlock const at = query_block<T>(shape, item);
        Prefetcher soon;
        soon.add(call.out, at.batch, at.head, at.first, at.n);
        // Of a short sequence the same block of the next head, so that a rest of few queries has little to ask for.
        Index const next = item + (blocks <= 2 ? blocks : 1);
        if (next < last) call.will_read(query_block<T>(shape, next), soon);
        call.any_block(at, Arena(tiles + worker * bytes), Block::norms ? partial + item : nullptr, soon);
      }
    });
    if constexpr (Block::norms) write_norms(partial, blocks);
  }

 private:
  /// The same for few queries of many keys: threads share the keys of a head.
  template <class Exec>
  void run_in_parts(std::string const& name, Exec const& exec, int parts) const {
    Index const heads = shape.batch * shape.heads, items = heads * parts;
    int const threads = workers(exec, items);
    Index const bytes = static_cast<Index>(call.cut_tiles(Arena()).bytes);
    Index const part_bytes = static_cast<Index>(call.cut_part(Arena()).bytes);
    Scratch const scratch(static_cast<std::size_t>(threads * bytes + items * part_bytes));
    auto const tiles_of = [&](int worker) { return Arena(scratch.data() + worker * bytes); };
    auto const part_at = [&](Index item) {
      return call.cut_part(Arena(scratch.data() + threads * bytes + item * part_bytes));
    };
    share(name, exec, items, 1, [&](Index first, Index last, int worker) {
      for (Index item = first; item < last; ++item) {
        QueryBlock const at = query_block<T>(shape, item / parts);
        call.few_queries_part(at, int(item % parts), parts, tiles_of(worker), part_at(item));
      }
    });
    share(name, exec, heads, 1, [&](Index first, Index last, int worker) {
      for (Index head = first; head < last; ++head) {
        call.add_few_parts(query_block<T>(shape, head), parts, tiles_of(worker),
                           [&](int part) { return part_at(head * parts + part); });
      }
    });
  }

  /// The same for short sequences, several at once; one after the other where a mask treats them differently.
  template <class Exec, class Short>
  void run_short(std::string const& name, Exec const& exec, Short const& short_ones) const {
    Index const items = short_ones.groups() * shape.heads, blocks = shape.query_blocks<T>();
    int const threads = workers(exec, items);
    Index const bytes = std::max(static_cast<Index>(call.cut_tiles(Arena()).bytes), short_ones.scratch_bytes());
    Scratch const scratch(static_cast<std::size_t>(threads * bytes));
    std::byte* const tiles = scratch.data();
    share(name, exec, items, std::max<Index>(1, items / (threads * 16)), [&](Index first, Index last, int worker) {
      for (Index item = first; item < last; ++item) {
        Index const group = item / shape.heads, head = item % shape.heads;
        Arena const own(tiles + worker * bytes);
        if (short_ones.are_alike(group)) {
          short_ones.forward(group, head, own);
          continue;
        }
        for (int lane = 0; lane < short_ones.lanes_of(group); ++lane) {
          Index const sequence = group * Pack<T>::width + lane;
          for (Index block = 0; block < blocks; ++block) {
            Prefetcher nothing;
            Index const number = (sequence * shape.heads + head) * blocks + block;
            call.any_block(query_block<T>(shape, number), own, nullptr, nothing);
          }
        }
      }
    });
  }

  /// The norms of each head, from the shares of its blocks in their order.
  void write_norms(NormSums<double> const* partial, Index blocks) const {
    for (Index b = 0; b < shape.batch; ++b) {
      for (Index h = 0; h < shape.heads; ++h, partial += blocks) {
        NormSums<double> total;
        for (Index i = 0; i < blocks; ++i) {
          total.w2 += partial[i].w2;
          total.second += partial[i].second;
        }
        auto const& frobenius = call.options.norms.frobenius;
        auto const& jacobian = call.options.norms.jacobian;
        using R = typename std::remove_cvref_t<decltype(frobenius)>::Scalar;
        if (frobenius.data() != nullptr) frobenius(b, h) = static_cast<R>(total.w2);
        if (jacobian.data() != nullptr) jacobian(b, h) = static_cast<R>(total.second);
      }
    }
  }
};

}  // namespace attn::detail::host
