// Public functions and input that nobody means: numbers that are not finite, no elements or one, memory that overlaps.
// table.txt says of each function which file gives it such input; what has no file of its own for that is here.
#include "attn/activation/activation.hpp"
#include "attn/core/jet.hpp"
#include "attn/core/rows.hpp"
#include "attn/linalg/convert.hpp"
#include "attn/linalg/gemm.hpp"
#include "attn/linalg/reduce.hpp"
#include "attn/nn/context.hpp"
#include "attn/nn/function.hpp"
#include "attn/optim/adamw.hpp"
#include "attn/optim/clip.hpp"
#include "attn/optim/sgd.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "support.hpp"

namespace {

using attn::Index;
using attn_test::Array;
using attn_test::error_of;
using attn_test::Exec;
namespace fs = std::filesystem;

constexpr float nan_ = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();

// The table.

std::string text_of(fs::path const& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> tokens_of(std::string const& text) {
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < text.size();) {
    auto const is_word = [&](std::size_t at) {
      return at < text.size() && (std::isalnum(static_cast<unsigned char>(text[at])) || text[at] == '_');
    };
    std::size_t end = i + 1;
    while (is_word(i) && is_word(end)) ++end;
    if (!std::isspace(static_cast<unsigned char>(text[i]))) tokens.push_back(text.substr(i, end - i));
    i = end;
  }
  return tokens;
}

/// The function that a declaration at namespace scope declares; empty if it declares something else.
std::string function_of(std::string const& declaration) {
  auto const tokens = tokens_of(declaration);
  std::set<std::string> const others = {"struct", "class", "concept", "using", "enum", "="},
                              no_names = {"requires", "decltype", "noexcept", "operator", "static_assert"};
  auto const is_name = [](std::string const& t) {
    return std::isalpha(static_cast<unsigned char>(t[0])) || t[0] == '_';
  };
  std::size_t first = 0;  // behind template <...>
  for (int depth = 0; first < tokens.size() && tokens[0] == "template";) {
    std::string const& t = tokens[first++];
    if (t == "<") ++depth;
    if (t == ">" && --depth == 0) break;
  }
  int round = 0, angle = 0;
  for (std::size_t i = first; i < tokens.size(); ++i) {
    std::string const& t = tokens[i];
    if (round == 0 && angle == 0 && others.count(t) > 0) return {};
    if (t == "<") ++angle;
    if (t == ">") angle = std::max(0, angle - 1);
    if (t == ")") --round;
    if (t != "(") continue;
    if (round == 0 && angle == 0 && i > first && is_name(tokens[i - 1]) && no_names.count(tokens[i - 1]) == 0) {
      std::string const before = i > first + 1 ? tokens[i - 2] : "";  // a guide has no type
      bool const has_type = !before.empty() && before != "operator" &&
                            (is_name(before) || before == ">" || before == "&" || before == "*");
      return has_type ? tokens[i - 1] : "";
    }
    ++round;
  }
  return {};
}

/// Functions at namespace scope, but those of a namespace detail. What is formatted has its namespaces in column 0, and
/// nothing else but what a namespace declares.
void find_functions(fs::path const& header, std::set<std::string>& found) {
  std::vector<std::string> namespaces;
  std::istringstream lines(text_of(header));
  std::string declaration;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("}", 0) == 0) {
      if (line.find("// namespace") != std::string::npos && !namespaces.empty()) namespaces.pop_back();
      declaration.clear();
      continue;
    }
    line = line.substr(0, line.find("//"));
    while (!line.empty() && line.back() == ' ') line.pop_back();
    std::size_t const at = line.rfind("inline namespace ", 0) == 0 ? 17 : (line.rfind("namespace ", 0) == 0 ? 10 : 0);
    if (at > 0 && line.back() == '{') {
      namespaces.push_back(line.substr(at, line.find(' ', at) - at));
      continue;
    }
    if (line.empty() || line[0] == '#' || (line[0] == ' ' && declaration.empty())) continue;
    declaration += ' ' + line;
    if (line.back() != ';' && line.back() != '{' && line.back() != '}') continue;
    std::string name, function = function_of(declaration);
    declaration.clear();
    for (auto const& n : namespaces) name += n + "::";
    if (!function.empty() && name.find("detail") == std::string::npos) found.insert(name + function);
  }
}

TEST(PublicFunctions, AreAllInTheTable) {
  fs::path const source = ATTN_SOURCE_DIR;
  std::set<std::string> found;
  for (char const* const layer : {"core", "linalg", "activation", "attention", "nn", "optim"}) {
    for (auto const& entry : fs::recursive_directory_iterator(source / "include/attn" / layer)) {
      bool const is_detail = entry.path().string().find("/detail/") != std::string::npos;
      if (entry.path().extension() == ".hpp" && !is_detail) find_functions(entry.path(), found);
    }
  }
  EXPECT_GT(found.size(), 50u);
  std::set<std::string> listed;
  std::istringstream lines(text_of(source / "tests/functions/table.txt"));
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string function, file, what;
    words >> function >> file;
    std::getline(words >> std::ws, what);
    EXPECT_TRUE(listed.insert(function).second) << function << " is in table.txt twice";
    EXPECT_FALSE(what.empty()) << function << ": say in table.txt what is tried, or why nothing is";
    EXPECT_TRUE(found.count(function) > 0) << function << " is in table.txt, but in no header";
    if (file == "-") continue;
    auto const tokens = tokens_of(text_of(source / file));
    std::string const name = function.substr(function.rfind(':') + 1);
    EXPECT_TRUE(std::find(tokens.begin(), tokens.end(), name) != tokens.end())
        << function << ": " << file << " does not call it";
  }
  for (auto const& function : found) {
    EXPECT_TRUE(listed.count(function) > 0)
        << function << ": enter it into tests/functions/table.txt, and the file that gives it bad input";
  }
}

// Core.

struct Count {
  int* calls;
  template <class... Any>
  ATTN_FUNCTION void operator()(Any const&...) const {
    ++*calls;
  }
};

TEST(PublicFunctions, LoopOverNothing) {
  int calls = 0;
  attn::elementwise<float>(Exec(), "nothing", 0, 5, Count{&calls});
  attn::elementwise<float>(Exec(), "nothing", 5, 0, Count{&calls});
  attn::for_rows<float>(Exec(), "nothing", 0, 5, Count{&calls});
  if constexpr (attn::HostExecutionSpace<Exec>) {
    attn::for_blocks(Exec(), "nothing", 0, Count{&calls});
    attn::for_lanes<float>(3, 3, Count{&calls});
    EXPECT_EQ(calls, 0);
    attn::for_blocks(Exec(), "one", 1, Count{&calls});
    attn::for_lanes<float>(3, 4, Count{&calls});
    EXPECT_EQ(calls, 2);
  }
}

TEST(PublicFunctions, KeepANaNOfAScore) {
  attn::Row const row{.n_keys = 3};
  auto const expect_nan = [&](auto const& a) {
    EXPECT_TRUE(std::isnan(attn::weight_and_slope(attn::for_row(a, row), nan_, row).weight));
  };
  expect_nan(attn::Relu{});
  expect_nan(attn::SquaredRelu{});
  expect_nan(attn::Sigmoid{});
  expect_nan(attn::Poly<3>{});
  expect_nan(attn::Poly<2, attn::FixedScale>{});
  expect_nan(attn::Identity{});
  expect_nan(attn::TaylorExponential{});
  expect_nan(attn::EluPlusOne{});
  expect_nan(attn::RaisedCosine{});
  expect_nan(attn::AbsolutePower{.power = 3});
  EXPECT_EQ(attn::weight_and_slope(attn::Relu{}, nan_, row).slope, 1.0f / 3);  // as that of s, which max(s, 0) is
  auto const expect_nan_row = [&](auto const& a) {
    using A = std::remove_cvref_t<decltype(a)>;
    typename A::template Stats<float> stats;
    for (float const s : {1.0f, nan_, 2.0f}) a.absorb(stats, s);
    float const w = a.numerator(2.0f, stats) / a.normalizer(stats);
    EXPECT_TRUE(std::isnan(w));
    EXPECT_TRUE(std::isnan(attn::pull_back(a, 2.0f, w, 1.0f, 0.5f, stats)));
  };
  expect_nan_row(attn::Softmax{});
  expect_nan_row(attn::L1Normalized{});
  expect_nan_row(attn::EluAttention{});
}

TEST(PublicFunctions, KeepANaNOfANumber) {
  for (auto const& f :
       {attn::nn::value_and_slope(attn::nn::Relu{}, nan_), attn::nn::value_and_slope(attn::nn::Gelu{}, nan_),
        attn::nn::value_and_slope(attn::nn::Tanh{}, nan_), attn::nn::value_and_slope(attn::nn::Silu{}, nan_)}) {
    EXPECT_TRUE(std::isnan(f.value));
  }
  float sine = 0, cosine = 0;
  attn::sin_cos(nan_, sine, cosine);
  EXPECT_TRUE(std::isnan(sine) && std::isnan(cosine));
  EXPECT_TRUE(std::isnan(attn::real_gradient(attn::Jet<float, 1>::variable(0) * nan_)));
  if constexpr (attn::has_packs) {
    attn::Pack<float> x(1.0f);
    x.lanes[attn::Pack<float>::width - 1] = nan_;
    EXPECT_TRUE(std::isnan(attn::sum(x)));
  }
}

struct Largest {
  float const* x;
  float* y;
  Index n;
  template <class Row>
  ATTN_FUNCTION void operator()(Row const& row, Index i) const {
    float const top = row.maxima(n, [&](auto lanes, Index j) { return lanes.load(x + i * n + j); });
    row.once([&] { y[i] = top; });
  }
};

TEST(PublicFunctions, KeepANaNOfARow) {
  for (Index const n : {1, 2, 17, 70}) {
    for (Index const at : {Index(0), n / 2, n - 1}) {
      std::vector<double> values(std::size_t(2 * n), 1.0);
      values[std::size_t(at)] = std::nan("");
      Array<float, 2> const x({2, n}, values);
      Array<float, 1> const y({2});
      attn::for_rows<float>(Exec(), "largest", 2, n, Largest{x.tensor().data(), y.tensor().data(), n});
      EXPECT_TRUE(std::isnan(y.numbers()[0])) << n << ", " << at;
      EXPECT_EQ(y.numbers()[1], 1);
    }
  }
}

// Linalg.

TEST(PublicFunctions, Gemm) {
  Array<float, 2> const a({3, 4}), b({4, 5}), c({3, 5});
  auto const run = [](auto const& x, auto const& y, auto const& z, float beta = 0) {
    return error_of([&] { attn::linalg::gemm(Exec(), 1.0f, x, y, beta, z); });
  };
  EXPECT_EQ(run(a.tensor(), b.tensor(), c.tensor()), "");
  Array<float, 2> const square({4, 4});
  auto const rows = square.tensor().slice(0, 0, 3);
  EXPECT_EQ(run(square.tensor(), square.tensor(), square.tensor()),
            "gemm: give c memory of its own; it overlaps that of a");
  EXPECT_EQ(run(rows, b.tensor().slice(1, 0, 4), square.tensor().slice(0, 1, 4)),
            "gemm: give c memory of its own; it overlaps that of a");
  EXPECT_EQ(run(a.tensor().slice(1, 0, 3), rows, square.tensor().slice(0, 1, 4)),
            "gemm: give c memory of its own; it overlaps that of b");
  for (auto const& [m, n, k] : {std::array<Index, 3>{0, 5, 4}, {3, 0, 4}, {3, 5, 0}, {1, 1, 1}}) {
    Array<float, 2> const x({m, k}), y({k, n}), z({m, n}, std::vector<double>(std::size_t(m * n), 2.0));
    EXPECT_EQ(run(x.tensor(), y.tensor(), z.tensor(), 1), "");
    for (double const number : z.numbers()) EXPECT_EQ(number, 2);
  }
  Array<float, 2> const with_infinity({1, 2}, {infinity, 1}), zeros({2, 1}), one({1, 1});
  EXPECT_EQ(run(with_infinity.tensor(), zeros.tensor(), one.tensor()), "");
  EXPECT_TRUE(std::isnan(one.numbers()[0])) << "infinity times zero";
}

TEST(PublicFunctions, SumsAndConversions) {
  Array<float, 2> const x({3, 4}, {1, 2, 3, 4, nan_, 1, 1, 1, 1, infinity, 1, 1});
  Array<float, 1> const sums({4});
  attn::linalg::column_sums(Exec(), x.tensor(), 0, sums.tensor());
  auto const got = sums.numbers();
  EXPECT_TRUE(std::isnan(got[0]) && got[1] == infinity && got[2] == 5);
  EXPECT_EQ(error_of([&] {
              attn::linalg::column_sums(Exec(), x.tensor(), 0, x.tensor().rows().reshape<1>({12}).slice(0, 0, 4));
            }),
            "column_sums: give the result memory of its own; it overlaps that of x");
  Array<float, 2> const none({0, 4});
  attn::linalg::column_sums(Exec(), none.tensor(), 0, sums.tensor());
  EXPECT_EQ(sums.numbers(), (std::vector<double>{0, 0, 0, 0}));
  auto const flat = x.tensor().reshape<1>({12});
  EXPECT_TRUE(std::isnan(attn::linalg::sum(Exec(), flat)));
  EXPECT_TRUE(std::isnan(attn::linalg::sum_of_squares(Exec(), flat)));
  EXPECT_EQ(attn::linalg::sum(Exec(), flat.slice(0, 0, 0)), 0);
  EXPECT_EQ(attn::linalg::sum_of_squares(Exec(), flat.slice(0, 1, 2)), 4);

  Array<attn::BFloat16, 2> const narrow({3, 4}), other({4, 3});
  attn::linalg::convert(Exec(), x.tensor(), narrow.tensor());
  Array<float, 2> const back({3, 4});
  attn::linalg::convert(Exec(), narrow.tensor(), back.tensor());
  EXPECT_TRUE(std::isnan(back.numbers()[4]) && back.numbers()[9] == infinity);
  EXPECT_NE(error_of([&] { attn::linalg::convert(Exec(), x.tensor(), other.tensor()); }), "");
  attn::linalg::convert(Exec(), x.tensor().slice(0, 0, 0), narrow.tensor().slice(0, 0, 0));
}

TEST(PublicFunctions, TensorsOfOtherShapes) {
  Array<float, 2> const x({3, 4});
  EXPECT_NE(error_of([&] { x.tensor().reshape<1>({11}); }), "");
  EXPECT_NE(error_of([&] { x.tensor().transpose(0, 1).reshape<1>({12}); }), "");
  EXPECT_EQ(x.tensor().slice(0, 3, 3).size(), 0);
}

// Optim: a gradient that is NaN is seen in the parameters, and in the norm.

TEST(PublicFunctions, StepsOfOptimizers) {
  auto const step = [](auto const& make, double gradient) {
    attn::nn::Context<Exec, float> ctx;
    attn::nn::Builder(ctx).template add<1>("x", {3}, attn::nn::ones());
    auto const entry = ctx.parameters.entry("x");
    ctx.parameters.zero_gradients(ctx.exec);
    ctx.parameters.gradient(entry)(1) = float(gradient);
    auto optimizer = make(ctx);
    optimizer(ctx);
    return ctx.parameters.host_values(entry);
  };
  auto const adamw = [](auto& ctx) { return [o = attn::optim::AdamW(ctx)](auto& c) mutable { o.step(c); }; };
  auto const sgd = [](auto& ctx) { return [o = attn::optim::Sgd(ctx)](auto& c) mutable { o.step(c); }; };
  auto const clipped = [](auto& ctx) {
    return [o = attn::optim::Sgd(ctx), clip = attn::optim::GradientClip(ctx, 1.0)](auto& c) mutable {
      clip(c);
      o.step(c);
    };
  };
  EXPECT_TRUE(std::isnan(step(adamw, nan_)[1]));
  EXPECT_TRUE(std::isnan(step(sgd, nan_)[1]));
  EXPECT_TRUE(std::isnan(step(clipped, nan_)[1]));
  EXPECT_TRUE(std::isnan(step(clipped, infinity)[1]));
  EXPECT_EQ(step(sgd, 0)[0], 1);
}

TEST(PublicFunctions, ParametersAreAssignedInTheirSize) {
  attn::nn::Context<Exec, float> ctx;
  attn::nn::Builder(ctx).add<1>("x", {3}, attn::nn::ones());
  auto const entry = ctx.parameters.entry("x");
  for (std::size_t const n : {0u, 2u, 4u}) {
    EXPECT_NE(error_of([&] { ctx.parameters.assign<double>(entry, std::vector<double>(n)); }), "") << n;
  }
  ctx.parameters.assign<double>(entry, std::vector<double>{1, std::nan(""), 3});
  EXPECT_TRUE(std::isnan(ctx.parameters.host_values(entry)[1]));
}

}  // namespace
