// Which kernel serves a call: the table of the documentation says what `choose` does, and `describe` names the region
// that runs.
#include "attn/activation/softmax.hpp"
#include "attn/attention/attention.hpp"
#include "attn/attention/describe.hpp"
#include "attn/attention/detail/choose.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace {

using attn::Pass;
using attn::detail::AttentionKernel;
using attn::detail::CallTraits;

struct Row {
  std::string kernel;
  std::vector<std::string> conditions;
};

std::vector<std::string> split(std::string const& text, std::string const& between) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    std::size_t const end = std::min(text.find(between, at), text.size());
    std::size_t const first = text.find_first_not_of(' ', at), last = text.find_last_not_of(' ', end - 1);
    parts.push_back(first < end ? text.substr(first, last - first + 1) : "");
    at = end + between.size();
  }
  return parts;
}

/// The rows of "Attention: which kernel runs" in docs/architecture.md.
std::vector<Row> documented() {
  std::ifstream file(std::string(ATTN_GOLDEN_DIR) + "/../../docs/architecture.md");
  std::vector<Row> rows;
  bool is_here = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) is_here = line == "## Attention: which kernel runs";
    if (!is_here || !line.starts_with("| `")) continue;
    auto const cells = split(line, "|");
    rows.push_back({cells[1].substr(1, cells[1].size() - 2), split(cells[2], ";")});
  }
  return rows;
}

bool holds(std::string const& condition, Pass pass, CallTraits const& t) {
  bool const gathers = pass == Pass::forward && t.wants_norms;
  std::map<std::string, bool> const words = {
      {"hosts", t.on_host},
      {"a compiler with packs", t.has_packs},
      {"jets", t.is_jet},
      {"real numbers, and an activation that takes packs of them", t.takes_packs},
      {"norms, if wanted, from sums over a row", !gathers || t.sums_give_norms},
      {"no norms", !gathers},
      {"no bias", !t.has_bias},
      {"no dropout", !t.drops},
      {"a polynomial whose sums over tokens cost less than its weights", t.is_linear},
      {"many sequences of fewer tokens than half a vector has lanes", t.is_short},
      {"tensor cores for these numbers and widths", t.has_tensor_cores},
      {"long sequences in rows that TMA copies, on Hopper", t.has_warpgroups},
      {"everything else", true}};
  auto const found = words.find(condition);
  if (found == words.end()) ADD_FAILURE() << "the table has a condition that this test does not know: " << condition;
  return found != words.end() && found->second;
}

std::string name_of(AttentionKernel kernel) {
  switch (kernel) {
    case AttentionKernel::host_jets:
      return "host_jets";
    case AttentionKernel::host_linear:
      return "host_linear";
    case AttentionKernel::host_short_sequences:
      return "host_short_sequences";
    case AttentionKernel::host:
      return "host";
    case AttentionKernel::hopper:
      return "hopper";
    case AttentionKernel::tensor_cores:
      return "tensor_cores";
    case AttentionKernel::team:
      return "team";
  }
  return "";
}

TEST(Choose, IsWhatTheDocumentationSays_RowByRow) {
  auto const rows = documented();
  ASSERT_EQ(rows.size(), 7u);
  std::map<std::string, int> served;
  for (Pass const pass : {Pass::forward, Pass::backward}) {
    for (unsigned bits = 0; bits < 1u << 12; ++bits) {
      auto const bit = [&](int i) { return (bits >> i & 1u) != 0; };
      CallTraits const t{bit(0), bit(1), bit(2), bit(3), bit(4),  bit(5),
                         bit(6), bit(7), bit(8), bit(9), bit(10), bit(11)};
      for (Row const& row : rows) {
        bool fits = true;
        for (auto const& condition : row.conditions) fits = fits && holds(condition, pass, t);
        if (!fits) continue;
        EXPECT_EQ(name_of(attn::detail::choose(pass, t)), row.kernel) << "traits " << bits;
        ++served[row.kernel];
        break;
      }
    }
  }
  for (Row const& row : rows) EXPECT_GT(served[row.kernel], 0) << row.kernel << " serves nothing";
}

std::vector<std::string>& regions() {
  static std::vector<std::string> names;
  return names;
}

/// Takes one scalar alone, so that no packed kernel serves.
struct CubeOfFloat {
  float operator()(float s, attn::Row) const { return s * s * s; }
  float slope(float s, attn::Row) const { return 3 * s * s; }
};

/// Both passes open the region that `describe` names, and no other kernel's.
template <class T, class A, class Options = attn::AttentionOptions<>>
void expect_described(A const& a, attn::Extents<4> const& extents, std::string const& part,
                      Options const& options = {}) {
  using Exec = Kokkos::DefaultHostExecutionSpace;
  using X = attn::Tensor<T, 4, Kokkos::HostSpace>;
  Exec const exec;
  std::vector<T> numbers(std::size_t(X(static_cast<T*>(nullptr), extents).size()), T(0.5f)), results[4];
  for (auto& r : results) r = numbers;
  X const q(numbers.data(), extents), out(results[0].data(), extents), d_q(results[1].data(), extents),
      d_k(results[2].data(), extents), d_v(results[3].data(), extents);
  auto const before = Kokkos::Tools::Experimental::get_callbacks();
  Kokkos::Tools::Experimental::set_push_region_callback([](char const* name) { regions().push_back(name); });
  regions().clear();
  auto const saved = attn::attention(exec, a, q, q, q, out, options);
  attn::attention_backward(exec, a, q, q, q, out, saved, q, d_q, d_k, d_v, options);
  exec.fence();
  Kokkos::Tools::Experimental::set_callbacks(before);
  auto const forward = attn::describe(exec, a, q, q, q, out, options);
  EXPECT_EQ(forward, attn::describe(Pass::forward, exec, a, q, q, q, out, options));
  std::vector<std::string> const want = {"attn::attention", forward, "attn::attention_backward",
                                         attn::describe(Pass::backward, exec, a, q, q, q, out, options)};
  EXPECT_EQ(regions(), want);
  EXPECT_NE(forward.find(part), std::string::npos) << forward;
  EXPECT_NE(want[3].find("attention_backward (" + part), std::string::npos) << want[3];
}

TEST(Describe, NamesTheRegionThatRuns) {
  if (!attn::has_packs) GTEST_SKIP() << "this compiler has no packed kernels";
  std::string const lanes = std::to_string(attn::vector_bytes / 4);
  expect_described<float>(
      attn::Softmax{}, {2, 2, 49, 32},
      "host, " + std::to_string(attn::detail::host::block_rows(3)) + " keys x 3 x " + lanes + " queries, fp32");
  if (attn::vector_bytes == 64) {
    expect_described<float>(attn::Softmax{}, {16, 1, 5, 8}, "host, short sequences in 16 lanes, fp32");
    expect_described<float>(attn::Softmax{}, {15, 1, 5, 8}, "host, 8 keys");
  }
  expect_described<attn::Jet<double, 1>>(attn::Softmax{}, {2, 1, 5, 3}, "host, jets");
  expect_described<float>(CubeOfFloat{}, {2, 1, 5, 3}, "team");
}

}  // namespace
