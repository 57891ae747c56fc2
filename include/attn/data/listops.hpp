/// ListOps (Nangia and Bowman 2018) in the long form of the Long Range Arena (Tay et al. 2021): nested operators on
/// digits, and the digit that comes out.
///
///     [MAX 4 3 [MIN 2 3 ] 1 0 [MED 1 5 8 9 2 ] ]  ->  5
#pragma once

#include "attn/data/detail/lines.hpp"
#include "attn/data/distributions.hpp"
#include "attn/data/sequences.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace attn::data {

namespace listops {

///@{
/// Tokens: the digits are themselves; parentheses, which carry nothing, are left out.
inline constexpr std::uint8_t minimum = 10, maximum = 11, median = 12, sum_modulo = 13, close = 14, unknown = 15;
inline constexpr std::array<std::string_view, 16> words = {"0", "1", "2",    "3",    "4",    "5",   "6", "7",
                                                           "8", "9", "[MIN", "[MAX", "[MED", "[SM", "]", "?"};
///@}
inline constexpr std::size_t length_limit = 2000;  ///< of a sequence, in tokens
inline constexpr std::size_t padding = 48;         ///< rounds the length of batches up to 2048

/// Whether a token begins an operation.
inline bool is_operator(std::uint8_t token) { return token >= minimum && token <= sum_modulo; }

/// What an operator makes of its arguments. The median of an even number of digits is rounded down.
inline int apply(std::uint8_t op, std::vector<int>& arguments) {
  std::sort(arguments.begin(), arguments.end());
  std::size_t const n = arguments.size();
  switch (op) {
    case minimum:
      return arguments.front();
    case maximum:
      return arguments.back();
    case median:
      return (arguments[(n - 1) / 2] + arguments[n / 2]) / 2;
    default: {
      int sum = 0;
      for (int const a : arguments) sum += a;
      return sum % 10;
    }
  }
}

/// The value of an expression; none if it is not one.
inline std::optional<int> evaluate(std::span<std::uint8_t const> tokens) {
  std::vector<std::pair<std::uint8_t, std::vector<int>>> open;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    int value = tokens[i];
    if (is_operator(tokens[i])) {
      open.push_back({tokens[i], {}});
      continue;
    }
    if (tokens[i] == close) {
      if (open.empty() || open.back().second.empty()) return std::nullopt;
      value = apply(open.back().first, open.back().second);
      open.pop_back();
    } else if (tokens[i] > 9) {
      return std::nullopt;
    }
    if (open.empty()) return i + 1 == tokens.size() ? std::optional(value) : std::nullopt;
    open.back().second.push_back(value);
  }
  return std::nullopt;
}

/// The text of an expression as the release writes it: a binary tree in parentheses, "( ( ( [MAX 3 ) 7 ) ] )".
inline std::string to_text(std::span<std::uint8_t const> tokens) {
  // In front of an operator stand as many parentheses as it has arguments, and one more for its end.
  std::vector<std::size_t> arguments(tokens.size(), 0), open;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] == close && !open.empty()) open.pop_back();
    if (!is_operator(tokens[i])) {
      if (!open.empty()) ++arguments[open.back()];
    } else {
      open.push_back(i);
    }
  }
  std::string text;
  std::size_t depth = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    bool const opens = is_operator(tokens[i]);
    if (i > 0) text += ' ';
    if (opens) {
      for (std::size_t p = 0; p <= arguments[i]; ++p) text += "( ";
      ++depth;
    }
    text += words[tokens[i]];
    if (tokens[i] == close) text += " )", --depth;
    if (!opens && depth > 0) text += " )";
  }
  return text;
}

/// The tokens of a text: split at white space, without parentheses. A word that is no token becomes `unknown`.
inline std::vector<std::uint8_t> from_text(std::string_view text) {
  std::vector<std::uint8_t> tokens;
  std::size_t at = 0;
  while ((at = text.find_first_not_of(" ()\t", at)) != std::string_view::npos) {
    std::size_t const end = std::min(text.find_first_of(" ()\t", at), text.size());
    auto const found = std::find(words.begin(), words.begin() + unknown, text.substr(at, end - at));
    tokens.push_back(static_cast<std::uint8_t>(found - words.begin()));
    at = end;
  }
  return tokens;
}

/// How trees grow. The values are those of the published data.
struct Grammar {
  int max_depth = 10;
  int max_arguments = 10;              // of an operator; at least 2
  double operator_probability = 0.25;  // of a node above the greatest depth
  std::size_t shorter_than = 2000;     // strictly
  std::size_t longer_than = 500;       // strictly
};

namespace detail {

/// Draws a tree in prefix order. False as soon as it is too long to be accepted, which changes no accepted tree.
class Tree {
 public:
  Tree(Grammar const& grammar, RandomKey key) : grammar_(grammar), draws_(key) {}

  bool grow(std::vector<std::uint8_t>& tokens, int& value, int depth = 1) {
    bool const is_leaf = depth >= grammar_.max_depth || draws_.uniform() > grammar_.operator_probability;
    if (is_leaf) {
      value = static_cast<int>(draws_.integer(10));
      tokens.push_back(static_cast<std::uint8_t>(value));
      return tokens.size() < grammar_.shorter_than;
    }
    std::size_t const n = static_cast<std::size_t>(2 + draws_.integer(grammar_.max_arguments - 1));
    std::size_t const at = tokens.size();
    tokens.push_back(0);  // the operator is drawn after the arguments
    std::vector<int> arguments(n);
    for (int& argument : arguments) {
      if (!grow(tokens, argument, depth + 1)) return false;
    }
    tokens[at] = static_cast<std::uint8_t>(minimum + draws_.integer(4));
    tokens.push_back(close);
    value = apply(tokens[at], arguments);
    return tokens.size() < grammar_.shorter_than;
  }

 private:
  Grammar const& grammar_;
  Draws draws_;
};

}  // namespace detail

/// Tree number `index` of a key, if its length is accepted.
inline bool generate(Grammar const& grammar, RandomKey key, std::uint64_t index, std::vector<std::uint8_t>& tokens,
                     int& value) {
  tokens.clear();
  return detail::Tree(grammar, subkey(key, index)).grow(tokens, value) && tokens.size() > grammar.longer_than;
}

/// A dataset of this kind without sequences.
inline Sequences empty_dataset() {
  Sequences data;
  data.length = length_limit + padding;
  data.vocabulary = 32;
  data.classes = 10;
  return data;
}

}  // namespace listops

/// `count` different accepted trees. Trees are tried in the order of their numbers, on the threads of the default host
/// space; the result depends on the key alone. About 8 % of the trees are accepted.
inline Sequences generate_listops(std::size_t count, RandomKey key, listops::Grammar const& grammar = {}) {
  ATTN_CHECK(grammar.max_arguments >= 2 && grammar.max_depth >= 1 && grammar.shorter_than <= listops::length_limit + 1,
             "generate_listops: give at least 2 arguments, a depth of at least 1, and lengths up to ",
             listops::length_limit);
  struct Try {
    bool accepted;
    int value;
    std::vector<std::uint8_t> tokens;
  };
  Sequences data = listops::empty_dataset();
  std::unordered_multimap<std::size_t, std::size_t> seen;  // hash -> example
  auto const is_new = [&](std::vector<std::uint8_t> const& tokens) {
    std::string_view const text(reinterpret_cast<char const*>(tokens.data()), tokens.size());
    std::size_t const hash = std::hash<std::string_view>()(text);
    auto const [first, last] = seen.equal_range(hash);
    for (auto at = first; at != last; ++at) {
      auto const other = data.sequence(at->second);
      if (std::equal(tokens.begin(), tokens.end(), other.begin(), other.end())) return false;
    }
    seen.emplace(hash, data.count());
    return true;
  };
  std::size_t constexpr most_in_a_row = 1 << 22;  // tries without one acceptance: the bounds admit nothing
  std::size_t last_success = 0;
  std::vector<Try> tries(8192);
  for (std::uint64_t first = 0; data.count() < count; first += tries.size()) {
    Kokkos::parallel_for("attn::generate_listops",
                         Kokkos::RangePolicy<Kokkos::DefaultHostExecutionSpace, Kokkos::Schedule<Kokkos::Dynamic>>(
                             0, static_cast<std::int64_t>(tries.size())),
                         [&](std::int64_t i) {
                           Try& t = tries[static_cast<std::size_t>(i)];
                           std::uint64_t const number = first + static_cast<std::uint64_t>(i);
                           t.accepted = listops::generate(grammar, key, number, t.tokens, t.value);
                         });
    Kokkos::DefaultHostExecutionSpace().fence("attn::generate_listops");
    for (Try const& t : tries) {
      if (!t.accepted || data.count() == count || !is_new(t.tokens)) continue;
      data.append(t.tokens, listops::length_limit);
      data.labels.push_back(t.value);
      last_success = first;
    }
    ATTN_CHECK(first - last_success < most_in_a_row, "generate_listops: widen the bounds of the lengths, ",
               most_in_a_row, " trees in a row had none between them");
  }
  return data;
}

/// Generates training, development and test data; no tree is in two of them.
inline SequenceSplits generate_listops_splits(std::size_t train, std::size_t dev, std::size_t test, RandomKey key) {
  Sequences const all = generate_listops(train + dev + test, key);
  std::vector<std::size_t> order(all.count());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::span<std::size_t const> const indices(order);
  return {select(all, indices.first(train)), select(all, indices.subspan(train, dev)), select(all, indices.last(test))};
}

/// Reads a file of the release: the header "Source<TAB>Target", then an expression and its value on each line, with
/// any line ends. Sequences longer than 2000 tokens are cut there and counted.
inline Sequences read_listops_tsv(std::filesystem::path const& path) {
  Sequences data = listops::empty_dataset();
  detail::Lines lines(path, "read_listops_tsv");
  ATTN_CHECK(lines.next() && lines.text() == "Source\tTarget", "read_listops_tsv: '", path.string(),
             "' must begin with the header Source<TAB>Target");
  while (lines.next()) {
    auto const fields = lines.fields(2);
    auto const tokens = listops::from_text(fields[0]);
    lines.check(!tokens.empty(), "an expression is wanted in front of the tab");
    lines.check(fields[1].size() == 1 && fields[1][0] >= '0' && fields[1][0] <= '9',
                "a digit is wanted behind the tab, there is '", fields[1].substr(0, 20), "'");
    data.append(tokens, listops::length_limit);
    data.labels.push_back(fields[1][0] - '0');
  }
  ATTN_CHECK(data.count() > 0, "read_listops_tsv: '", path.string(), "' holds no expressions");
  return data;
}

/// Writes a file as the release has them, with "\r\n" at the ends of lines.
inline void write_listops_tsv(std::filesystem::path const& path, Sequences const& data) {
  std::ofstream file(path, std::ios::binary);
  file << "Source\tTarget\r\n";
  for (std::size_t i = 0; i < data.count(); ++i) {
    file << listops::to_text(data.sequence(i)) << '\t' << data.labels[i] << "\r\n";
  }
  ATTN_CHECK(bool(file.flush()), "write_listops_tsv: cannot write '", path.string(), "'");
}

/// Reads basic_train.tsv, basic_val.tsv and basic_test.tsv, in `directory` or where the release has them below it.
inline SequenceSplits load_listops(std::filesystem::path const& directory) {
  auto const folder =
      detail::find_folder("load_listops", directory, "basic_train.tsv",
                          {"listops-1000", "lra_release/listops-1000", "lra_release/lra_release/listops-1000"});
  return {read_listops_tsv(folder / "basic_train.tsv"), read_listops_tsv(folder / "basic_val.tsv"),
          read_listops_tsv(folder / "basic_test.tsv")};
}

}  // namespace attn::data
