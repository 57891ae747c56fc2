#include "attn/train/detail/fit_record.hpp"

#include <gtest/gtest.h>

namespace {

using namespace attn;
using namespace attn::train;
using namespace attn::train::detail;

FitRecord const good{.step = 6,
                     .row = {{1.5, 2}, {3, 2}},
                     .epoch = {{1.5, 6}, {3, 6}},
                     .last_epoch = {{"loss", 0.5}},
                     .evaluation = {{"accuracy", 0.75}},
                     .rows = 3,
                     .seconds = 1.25};

FitRecord read(io::Json const& json) { return FitRecord::read("c", json, 300, 2); }

TEST(FitRecord, IsReadAsItWasWritten) {
  io::Json const json = good.to_json(io::Json::object());
  EXPECT_EQ(read(json).to_json(io::Json::object()), json);
}

TEST(FitRecord, EveryFieldHasAType_ARange_AndFitsTheRun) {
  auto const message = [](std::string const& name, io::Json const& value) -> std::string {
    io::Json json = good.to_json(io::Json::object());
    if (name.empty()) json = value;
    if (!name.empty() && !value.is_discarded()) json[name] = value;
    if (value.is_discarded()) json.erase(name);
    try {
      read(json);
    } catch (Error const& error) {
      return error.what();
    }
    return "";
  };
  std::string const start = "--resume: 'c' is no checkpoint of this run: ";
  for (io::Json const& record : {io::Json(nullptr), io::Json::array(), io::Json(3), io::Json("x")}) {
    EXPECT_EQ(message("", record), start + "its record is no object");
  }
  EXPECT_EQ(message("", io::Json::object()), start + "it has no step");
  io::Json const missing(io::Json::value_t::discarded);
  for (char const* const name : {"step", "row", "epoch", "last_epoch", "evaluation", "rows", "seconds"}) {
    EXPECT_EQ(message(name, missing), start + "it has no " + name);
    for (io::Json const& value : {io::Json(nullptr), io::Json("x"), io::Json::object(), io::Json(true)}) {
      EXPECT_TRUE(message(name, value).starts_with(start + name + " is ")) << name << " " << value;
    }
  }
  for (io::Json const& step : {io::Json(891), io::Json(-1), io::Json(std::uint64_t(1) << 63), io::Json(6.0)}) {
    EXPECT_EQ(message("step", step), start + "step is " + step.dump() + ", not a whole number from 0 to 300");
  }
  EXPECT_EQ(message("rows", 7), start + "rows is 7, not a whole number from 0 to 6");
  EXPECT_EQ(message("seconds", -1), start + "seconds is -1, not a number from 0");
  for (char const* const name : {"row", "epoch"}) {
    EXPECT_EQ(message(name, io::Json::array()), start + name + " is [], not a list of 2 means");
    for (char const* const mean :
         {"[[1,2],[3]]", "[[1,2],null]", "[[1,2],[3,-1]]", "[[1,2],[null,1]]", "[[1,2],[3,7]]"}) {
      EXPECT_TRUE(message(name, io::Json::parse(mean)).starts_with(start + name + " holds ")) << mean;
    }
  }
  for (char const* const metrics : {"[3]", "[[\"a\"]]", "[[1, 2]]", "[[\"a\", \"b\"]]"}) {
    EXPECT_TRUE(message("evaluation", io::Json::parse(metrics)).starts_with(start + "evaluation holds ")) << metrics;
  }
}

// What trainers with a loop of their own read, train_pde's of L-BFGS.
TEST(RecordFields, OfARecordThatLacksThem_AreErrors) {
  auto const message = [](char const* record, auto const& read) -> std::string {
    io::Json const json = io::Json::parse(record);
    try {
      read(RecordFields("c", json));
    } catch (Error const& error) {
      return error.what();
    }
    return "";
  };
  std::string const start = "--resume: 'c' is no checkpoint of this run: ";
  auto const losses = [](RecordFields const& fields) { fields.numbers("losses", 2); };
  EXPECT_EQ(message(R"({"losses": [1, 2.5]})", losses), "");
  EXPECT_EQ(message("{}", losses), start + "it has no losses");
  EXPECT_EQ(message("[]", losses), start + "its record is no object");
  for (char const* const wrong : {"null", "[]", "[1]", "[1,2,3]", "{}", "7", "\"12\""}) {
    EXPECT_EQ(message((R"({"losses": )" + std::string(wrong) + "}").c_str(), losses),
              start + "losses is " + wrong + ", not a list of 2 numbers");
  }
  EXPECT_EQ(message(R"({"losses": [1, null]})", losses), start + "losses holds null, not a number");
  auto const step = [](RecordFields const& fields) { fields.count("step", 300); };
  for (char const* const wrong : {"891", "-1", "9223372036854775808", "1.5", "null"}) {
    EXPECT_EQ(message((R"({"step": )" + std::string(wrong) + "}").c_str(), step),
              start + "step is " + wrong + ", not a whole number from 0 to 300");
  }
}

}  // namespace
