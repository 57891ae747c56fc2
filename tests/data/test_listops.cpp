#include "attn/data/listops.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "data/temporary_folder.hpp"

namespace {

using attn::RandomKey;
using attn::data::Sequences;
using attn::testing::message_of;
using attn::testing::TemporaryFolder;
namespace data = attn::data;
namespace listops = attn::data::listops;

std::optional<int> value_of(std::string_view text) { return listops::evaluate(listops::from_text(text)); }

std::vector<std::uint8_t> copy_of(std::span<std::uint8_t const> s) { return {s.begin(), s.end()}; }

/// The greatest depth of an expression, its operators' numbers of arguments, and how often each operator occurs.
struct Shape {
  int depth = 0;
  std::array<int, 16> tokens{};
  std::array<int, 12> arguments{};
};
Shape shape_of(std::span<std::uint8_t const> tokens) {
  Shape shape;
  std::vector<int> open;
  for (std::uint8_t const t : tokens) {
    ++shape.tokens[t];
    if (t == listops::close) {
      ++shape.arguments[std::size_t(open.back())];
      open.pop_back();
    } else {
      if (!open.empty()) ++open.back();
      if (listops::is_operator(t)) open.push_back(0);
    }
    shape.depth = std::max(shape.depth, int(open.size()) + (t < 10 ? 1 : 0));
  }
  return shape;
}

TEST(Listops, MedianOfAnEvenNumberIsRoundedDown) {
  EXPECT_EQ(value_of("( ( ( [MED 1 ) 4 ) ] )"), 2);
  EXPECT_EQ(value_of("[MED 1 5 8 9 2 ]"), 5);
}

TEST(Listops, OperatorsGiveTheirDigits) {
  EXPECT_EQ(value_of("[MAX 4 3 [MIN 2 3 ] 1 0 [MED 1 5 8 9 2 ] ]"), 5);
  EXPECT_EQ(value_of("[SM 9 9 5 ]"), 3);
  EXPECT_EQ(value_of("[MIN 7 [SM 9 9 ] ]"), 7);
  EXPECT_EQ(value_of("7"), 7);
}

TEST(Listops, WhatIsNoExpressionHasNoValue) {
  for (char const* text : {"", "]", "[MAX", "[MAX ]", "[MAX 1", "1 2", "[MAX 1 ] ]", "[FOO 1 ]"}) {
    EXPECT_FALSE(value_of(text).has_value()) << text;
  }
}

TEST(Listops, TextIsTheBinaryTreeOfTheRelease) {
  EXPECT_EQ(listops::to_text(listops::from_text("[MAX 3 7 ]")), "( ( ( [MAX 3 ) 7 ) ] )");
  EXPECT_EQ(listops::to_text(listops::from_text("[MAX 3 [MIN 1 2 ] ]")), "( ( ( [MAX 3 ) ( ( ( [MIN 1 ) 2 ) ] ) ) ] )");
  EXPECT_EQ(listops::to_text(listops::from_text("5")), "5");
}

TEST(Listops, GeneratedExpressionsHaveTheirLabelsLengthsAndBounds) {
  Sequences const examples = data::generate_listops(500, RandomKey{.seed = 3});
  ASSERT_EQ(examples.count(), 500u);
  check(examples, "test");
  std::set<std::vector<std::uint8_t>> different;
  for (std::size_t i = 0; i < examples.count(); ++i) {
    auto const tokens = examples.sequence(i);
    EXPECT_GT(tokens.size(), 500u);
    EXPECT_LT(tokens.size(), 2000u);
    EXPECT_EQ(listops::evaluate(tokens), examples.labels[i]);
    EXPECT_LE(shape_of(tokens).depth, 10);
    different.insert(copy_of(tokens));
  }
  EXPECT_EQ(different.size(), examples.count());
}

TEST(Listops, TheDistributionIsThePublishedOne) {
  // 8.35 % of all trees are accepted, and accepted ones have 1040 tokens in the mean: figures of an independent
  // simulation of 200,000 trees, so of 16,700 accepted ones.
  std::size_t const tries = 30000;
  listops::Grammar const grammar;
  std::vector<std::uint8_t> tokens;
  int value = 0;
  double accepted = 0, length = 0;
  std::array<double, 16> words{};
  std::array<double, 12> arguments{};
  for (std::size_t i = 0; i < tries; ++i) {
    if (!listops::generate(grammar, RandomKey{.seed = 4}, i, tokens, value)) continue;
    ++accepted;
    length += static_cast<double>(tokens.size());
    Shape const shape = shape_of(tokens);
    for (std::size_t w = 0; w < words.size(); ++w) words[w] += shape.tokens[w];
    for (std::size_t a = 0; a < arguments.size(); ++a) arguments[a] += shape.arguments[a];
  }
  double const deviation = std::sqrt(0.0835 * 0.9165 * (1.0 / double(tries) + 1.0 / 200000));
  EXPECT_NEAR(accepted / double(tries), 0.0835, 4 * deviation);
  EXPECT_NEAR(length / accepted, 1040, 4 * 400 / std::sqrt(accepted / 2));

  double const operators = words[10] + words[11] + words[12] + words[13];
  for (std::size_t op = 10; op < 14; ++op) EXPECT_NEAR(words[op] / operators, 0.25, 0.01) << op;
  double const digits = std::accumulate(words.begin(), words.begin() + 10, 0.0);
  for (std::size_t d = 0; d < 10; ++d) EXPECT_NEAR(words[d] / digits, 0.1, 0.004) << d;
  // Accepting by length favours neither few nor many arguments much; all of 2 ... 10 occur, and nothing else.
  EXPECT_EQ(arguments[0] + arguments[1] + arguments[11], 0);
  for (std::size_t a = 2; a <= 10; ++a) EXPECT_NEAR(arguments[a] / operators, 1.0 / 9, 0.035) << a;
}

TEST(Listops, TheSameKeyGivesTheSameData) {
  Sequences const a = data::generate_listops(60, RandomKey{.seed = 1});
  Sequences const b = data::generate_listops(40, RandomKey{.seed = 1});
  Sequences const c = data::generate_listops(40, RandomKey{.seed = 2});
  EXPECT_TRUE(std::equal(b.tokens.begin(), b.tokens.end(), a.tokens.begin()));
  EXPECT_NE(b.tokens, c.tokens);
}

TEST(Listops, BoundsThatNothingFitsAreAnError) {
  listops::Grammar grammar;
  grammar.max_depth = 1;
  EXPECT_NE(message_of<attn::Error>([&] { data::generate_listops(1, {}, grammar); }).find("widen the bounds"),
            std::string::npos);
}

TEST(Listops, AFileOfTheReleaseReadsBackWithItsLineEnds) {
  TemporaryFolder const folder;
  Sequences const written = data::generate_listops(20, RandomKey{.seed = 5});
  for (char const* name : {"basic_train.tsv", "basic_val.tsv", "basic_test.tsv"}) {
    std::filesystem::create_directories(folder / "lra_release/listops-1000");
    data::write_listops_tsv(folder / "lra_release/listops-1000" / name, written);
  }
  auto const splits = data::load_listops(folder.path());
  EXPECT_EQ(splits.train.tokens, written.tokens);
  EXPECT_EQ(splits.dev.labels, written.labels);
  EXPECT_EQ(splits.test.offsets, written.offsets);
}

TEST(Listops, LineEndsOfAnyKindAreRead) {
  TemporaryFolder const folder;
  auto const read = [&](std::string const& text) { return data::read_listops_tsv(folder.write("a.tsv", text)); };
  auto const crlf = read("Source\tTarget\r\n( ( ( [MAX 3 ) 7 ) ] )\t7\r\n");
  auto const lf = read("Source\tTarget\n( ( ( [MAX 3 ) 7 ) ] )\t7");
  EXPECT_EQ(crlf.tokens, lf.tokens);
  EXPECT_EQ(copy_of(lf.sequence(0)), (std::vector<std::uint8_t>{listops::maximum, 3, 7, listops::close}));
  EXPECT_EQ(lf.labels[0], 7);
}

TEST(Listops, LongerSequencesAreCutAndCounted) {
  TemporaryFolder const folder;
  std::string text = "Source\tTarget\n[SM";
  for (int i = 0; i < 2500; ++i) text += " 1";
  auto const examples = data::read_listops_tsv(folder.write("a.tsv", text + " ]\t0\n"));
  EXPECT_EQ(examples.sequence(0).size(), 2000u);
  EXPECT_EQ(examples.truncated, 1u);
}

TEST(Listops, AMalformedLineIsNamed) {
  TemporaryFolder const folder;
  for (char const* line : {"[MAX 1 2 ]", "[MAX 1 2 ]\tx", "[MAX 1 2 ]\t12", "\t3", "[MAX 1 2 ]\t3\t4"}) {
    auto const file = folder.write("bad.tsv", std::string("Source\tTarget\r\n[MIN 1 2 ]\t1\r\n") + line + "\r\n");
    std::string const message = message_of<attn::Error>([&] { data::read_listops_tsv(file); });
    EXPECT_NE(message.find("bad.tsv', line 3"), std::string::npos) << message;
  }
  EXPECT_NE(message_of<attn::Error>([&] { data::read_listops_tsv(folder.write("h.tsv", "a\tb\n")); }).find("header"),
            std::string::npos);
  EXPECT_NE(message_of<attn::Error>([&] { data::load_listops(folder.path()); }).find("basic_train.tsv"),
            std::string::npos);
}

}  // namespace
