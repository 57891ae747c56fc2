#include "attn/io/common_options.hpp"
#include "attn/io/setting_list.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace attn;
using namespace attn::io;

/// A notation of its own: "3:4".
struct Ratio {
  int a = 0, b = 0;
  static constexpr char const* wanted = "a ratio like 3:4";
  static constexpr char const* kind = "RATIO";
  static std::optional<Ratio> parse(std::string const& text) {
    if (text.size() != 3 || text[1] != ':') return std::nullopt;
    return Ratio{text[0] - '0', text[2] - '0'};
  }
  static std::optional<Ratio> from_json(Json const& json) {
    if (!json.is_array() || json.size() != 2) return std::nullopt;
    return Ratio{json[0].get<int>(), json[1].get<int>()};
  }
  std::string text() const { return std::to_string(a) + ":" + std::to_string(b); }
  Json json() const { return {a, b}; }
};

struct Everything {
  double rate = 0.5;
  double decay = 0.9;
  int heads = 2;
  std::size_t limit = 0;
  std::optional<int> width = {};
  std::string word = "one";
  std::vector<int> layers = {1, 2};
  Ratio ratio = {3, 4};
  bool fast = false;
  std::uint64_t log_every = 20;
};

void describe(SettingList& list, Everything& e) {
  list("rate", e.rate, {.help = "r", .range = {0, 10}});
  list("decay", e.decay, {.help = "d", .range = {0, 1, true}});
  list("heads", e.heads, {.help = "h", .range = {1, 64}, .model = true});
  list("limit", e.limit, {.help = "l", .decides = false});
  list("width", e.width, {.help = "w", .range = {1, 1000}, .model = true});
  list("word", e.word, {.help = "w", .words = {"one", "three"}, .model = true});
  list("layers", e.layers, {.help = "l"});
  list("ratio", e.ratio, {.help = "r", .model = true});
  list("fast", e.fast, {.help = "f", .model = true});
  list("log-every", e.log_every, {.help = "l"});
}

struct Listed {
  Everything e;
  SettingList list;
  Listed() { describe(list, e); }
};

template <class Call>
std::string sentence_of(Call const& call) {
  try {
    call();
  } catch (Error const& error) {
    return error.what();
  }
  return "nothing is wrong";
}

TEST(SettingList, ATextBecomesTheMember_OrASentenceWithTheTextThatWasTyped) {
  Listed l;
  auto const parse = [&](char const* name, char const* text) {
    return sentence_of([&] { l.list.at(name).parse(text); });
  };
  for (auto const& [name, text] : {std::pair{"rate", "1e-2"},
                                   {"decay", "0.999999999"},
                                   {"heads", "64"},
                                   {"limit", "18446744073709551615"},
                                   {"width", "7"},
                                   {"word", "three"},
                                   {"layers", "3,4,5"},
                                   {"ratio", "1:2"},
                                   {"fast", "true"}}) {
    EXPECT_FALSE(l.list.given(name));
    EXPECT_EQ(parse(name, text), "nothing is wrong");
    EXPECT_TRUE(l.list.given(name));
  }
  EXPECT_EQ(l.e.rate, 0.01);
  EXPECT_EQ(l.e.limit, 18446744073709551615u);
  EXPECT_EQ(l.e.width, 7);
  EXPECT_EQ(l.e.layers, (std::vector{3, 4, 5}));
  EXPECT_EQ(l.e.ratio.b, 2);
  EXPECT_EQ(parse("rate", "nan"), "--rate: use a number from 0 to 10, got 'nan'");
  EXPECT_EQ(parse("rate", "inf"), "--rate: use a number from 0 to 10, got 'inf'");
  EXPECT_EQ(parse("decay", "1"), "--decay: use a number from 0 to below 1, got '1'");
  EXPECT_EQ(parse("heads", "0"), "--heads: use a whole number from 1 to 64, got '0'");
  EXPECT_EQ(parse("heads", "2.5"), "--heads: use a whole number from 1 to 64, got '2.5'");
  EXPECT_EQ(parse("limit", "-1"), "--limit: use a whole number from 0 to 18446744073709551615, got '-1'");
  EXPECT_EQ(parse("word", "thre"), "--word: use one|three, got 'thre'; did you mean three?");
  EXPECT_EQ(parse("layers", "1,,2"), "--layers: use a whole number from -2147483648 to 2147483647, got ''");
  EXPECT_EQ(parse("ratio", "half"), "--ratio: use a ratio like 3:4, got 'half'");
  EXPECT_EQ(l.e.heads, 64) << "a bad text changes nothing";
}

TEST(SettingList, HelpSaysWhatIsAllowed) {
  Listed l;
  auto const kind = [&](char const* name) { return l.list.at(name).kind; };
  EXPECT_EQ(kind("rate"), "FLOAT:in 0 to 10");
  EXPECT_EQ(kind("decay"), "FLOAT:in 0 to below 1");
  EXPECT_EQ(kind("width"), "INT:in 1 to 1000");
  EXPECT_EQ(kind("limit"), "UINT");
  EXPECT_EQ(kind("word"), "TEXT:one|three");
  EXPECT_EQ(kind("ratio"), "TEXT:RATIO");
  EXPECT_EQ(l.list.at("layers").text(), "[1,2]");
  EXPECT_EQ(l.list.at("width").text(), "");
}

TEST(SettingList, WriteTellsWhatDecides_UnderTheNamesOfTheFlagsAndInPlacesThatAreThere) {
  Listed const l;
  Json run = {{"word", nullptr}, {"extra", 1}};
  l.list.write(run);
  EXPECT_EQ(run.dump(), R"({"word":"one","extra":1,"rate":0.5,"decay":0.9,"heads":2,"width":null,)"
                        R"("layers":[1,2],"ratio":[3,4],"fast":false,"log_every":20})");
  Json model;
  l.list.write_model(model);
  EXPECT_EQ(model.dump(), R"({"heads":2,"width":null,"word":"one","ratio":[3,4],"fast":false})");
}

TEST(SettingList, AdoptTakesTheModel_AndNothingElse) {
  Listed l;
  l.list.adopt({{"heads", 8}, {"width", 16}, {"ratio", {5, 6}}, {"fast", true}, {"rate", 7}, {"word", nullptr}}, "F");
  EXPECT_EQ(l.e.heads, 8);
  EXPECT_EQ(l.e.width, 16);
  EXPECT_EQ(l.e.ratio.a, 5);
  EXPECT_TRUE(l.e.fast);
  EXPECT_EQ(l.e.rate, 0.5) << "is of the recipe, not of the model";
  EXPECT_EQ(l.e.word, "one");
}

TEST(SettingList, AFlagThatContradictsADescription_IsAnError) {
  Listed l;
  l.list.at("heads").parse("4");
  l.list.adopt({{"heads", 4}}, "F");  // the same is in order
  EXPECT_EQ(sentence_of([&] {
              l.list.adopt({{"heads", 8}}, "'w.safetensors'");
            }),
            "--heads: 'w.safetensors' has heads 8, not 4; leave the flag out, or give the weights that it belongs to");
}

TEST(SettingList, ADescriptionThatNoFlagCouldHaveMade_IsAnError) {
  auto const adopt = [](Json const& description) {
    Listed l;
    return sentence_of([&] { l.list.adopt(description, "'F'"); });
  };
  EXPECT_EQ(adopt({{"heads", 0}}), "'F' describes its heads wrongly: use a whole number from 1 to 64, got 0");
  for (Json const& bad : {Json(-1), Json(1e300), Json(1.5), Json(1ll << 40), Json("2"), Json::array({1}), Json(true)}) {
    EXPECT_EQ(adopt({{"heads", bad}}),
              "'F' describes its heads wrongly: use a whole number from 1 to 64, got " + bad.dump());
  }
  EXPECT_NE(adopt({{"word", "two"}}).find("use one|three, got \"two\""), std::string::npos);
  EXPECT_NE(adopt({{"fast", 1}}).find("use true or false, got 1"), std::string::npos);
  EXPECT_NE(adopt({{"ratio", 3}}).find("use a ratio like 3:4, got 3"), std::string::npos);
  EXPECT_NE(adopt(3).find("'F' describes itself wrongly"), std::string::npos);
}

TEST(SettingList, TwoSettingsOfOneName_AreAnError) {
  Listed l;
  int again = 0;
  EXPECT_EQ(sentence_of([&] { l.list("heads", again, {.help = "h"}); }), "SettingList: there are two settings 'heads'");
}

TEST(CommonOptions, OfAnActivationThatIsNoPower_DescriptionsSayNothingAboutPowers) {
  CommonOptions common;
  SettingList list;
  describe(list, common);
  list.at("scale").parse("dynamic");
  adopt(list, {{"activation", "relu"}, {"power", nullptr}, {"scale", "none"}}, "F");
  EXPECT_EQ(common.activation, "relu");
  EXPECT_NE(sentence_of([&] {
              adopt(list, {{"activation", "poly"}, {"scale", "none"}}, "F");
            }).find("--scale"),
            std::string::npos);
  EXPECT_NE(sentence_of([&] { adopt(list, {{"activation", "mine"}}, "F"); }).find("softmax|poly"), std::string::npos);
}

}  // namespace
