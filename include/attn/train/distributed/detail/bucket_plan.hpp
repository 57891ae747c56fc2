/// BucketPlan: when in a backward pass which stretch of the flat gradient is final, learned from a pass before.
///
/// Modules know nothing of it: what is seen is that someone asks where a parameter's gradient lies
/// (`Parameters::on_gradient`). Modules ask when their backward pass begins, for parameters of their own and of what
/// they contain, and passes of modules nest as their names do. So a parameter is final when it was asked for the last
/// time and then one is asked for of another block, which neither contains it nor is contained. Blocks are named by the
/// last number in a name ("blocks.11" of "blocks.11.attn.qkv.weight"); `GradientSum` verifies in a step what was
/// learned.
#pragma once

#include "attn/io/json.hpp"
#include "attn/nn/registry.hpp"
#include "attn/train/distributed/communicator.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attn::train::detail {

struct BucketPlan {
  struct Bucket {
    Stretch stretch;
    std::size_t final_at;  // the number of the question after whose arrival it is final; `never` during the pass
  };
  static constexpr std::size_t never = ~std::size_t(0);
  std::vector<Bucket> buckets;  // in the order in which they are given away
};

/// "blocks.11" of "blocks.11.attn.qkv.weight", "norm" of "norm.weight", "" of "cls_token".
inline std::string_view block_of(std::string_view name) {
  std::size_t end = std::min(name.rfind('.'), name.size());
  if (end == name.size()) return {};
  auto const is_number = [](std::string_view part) {
    return !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
  };
  for (std::size_t last = end; last != std::string_view::npos && last > 0;) {
    std::size_t const dot = name.rfind('.', last - 1);
    std::size_t const first = dot == std::string_view::npos ? 0 : dot + 1;
    if (is_number(name.substr(first, last - first))) return name.substr(0, last);
    last = dot;
  }
  return name.substr(0, end);
}

/// Whether one of two blocks is the other, or a part of it.
inline bool related(std::string_view a, std::string_view b) {
  if (a.size() > b.size()) std::swap(a, b);
  return b.starts_with(a) && (a.empty() || a.size() == b.size() || b[a.size()] == '.');
}

/// The plan for gradients that were asked for in the order `asked` (numbers of entries), in buckets of at least
/// `numbers` numbers. They are cut from the end of the buffer, where backward passes begin.
inline BucketPlan plan_buckets(nn::ParameterRegistry const& registry, std::vector<std::size_t> const& asked,
                               Index numbers) {
  auto const& entries = registry.entries();
  std::vector<std::size_t> final_at(entries.size(), BucketPlan::never);
  for (std::size_t e = 0; e < entries.size(); ++e) {
    auto const last = std::find(asked.rbegin(), asked.rend(), e);
    auto const of_another = std::find_if(last.base(), asked.end(), [&](std::size_t other) {
      return !related(block_of(entries[e].name), block_of(entries[other].name));
    });
    bool const known = last != asked.rend() && of_another != asked.end();
    if (known) final_at[e] = static_cast<std::size_t>(of_another - asked.begin());
  }
  BucketPlan plan;
  for (std::size_t end = entries.size(); end > 0;) {
    Index const last = end == entries.size() ? registry.extent() : entries[end].offset;
    std::size_t begin = end, when = 0;
    do {
      --begin;
      when = std::max(when, final_at[begin]);
    } while (begin > 0 && last - entries[begin].offset < numbers);
    plan.buckets.push_back({{entries[begin].offset, last}, when});
    end = begin;
  }
  std::ranges::stable_sort(plan.buckets, {}, &BucketPlan::Bucket::final_at);
  return plan;
}

}  // namespace attn::train::detail
