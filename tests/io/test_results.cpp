#include "attn/io/results.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "io/files.hpp"

namespace {

using namespace attn::testing;
using attn::io::Json;
using attn::io::Results;

Json run() {
  return {{"activation", "poly"},   {"power", 3},    {"scale", "dynamic"}, {"seed", 7}, {"epochs", 2},
          {"test_accuracy", 0.875}, {"seconds", 1.5}};
}

TEST(Results, HaveMachineCommitAndRuns) {
  TemporaryDirectory const directory;
  Results results("1a2b3c4");
  results.add(run());
  results.write(directory / "results.json");
  Json const json = Json::parse(content(directory / "results.json"));
  EXPECT_EQ(json.size(), 3u);
  EXPECT_NE(json["machine"].get<std::string>().find("Kokkos"), std::string::npos);
  EXPECT_EQ(json["commit"], "1a2b3c4");
  ASSERT_EQ(json["runs"].size(), 1u);
  EXPECT_EQ(json["runs"][0], run());
}

TEST(Results, ReadBackWhatWasWritten) {
  TemporaryDirectory const directory;
  Path const file = directory / "results.json";
  Results first;
  first.add(run());
  first.write(file);
  Results second = Results::read(file);
  EXPECT_EQ(second.to_json(), first.to_json());
  second.add(run());
  second.write(file);
  EXPECT_EQ(Results::read(file).runs().size(), 2u);
}

TEST(Results, NameTheMissingField) {
  Results results;
  for (char const* const field : {"activation", "power", "scale", "seed", "seconds"}) {
    Json incomplete = run();
    incomplete.erase(field);
    EXPECT_ERROR(results.add(incomplete), std::string("give the run its '") + field + "'");
  }
  Json without_outcome = run();
  without_outcome.erase("test_accuracy");
  EXPECT_ERROR(results.add(without_outcome), "'test_accuracy' or its 'loss'");
  without_outcome["loss"] = 0.1;
  results.add(without_outcome);
  EXPECT_ERROR(results.add(Json::array()), "give an object");
}

TEST(Results, StayJsonWhenALossIsNotANumber) {
  TemporaryDirectory const directory;
  Results results;
  Json diverged = run();
  diverged["loss"] = std::nan("");
  diverged["note"] = "\xff";  // not UTF-8
  results.add(diverged);
  results.write(directory / "results.json");
  EXPECT_TRUE(Results::read(directory / "results.json").runs()[0]["loss"].is_null());
}

TEST(Results, RefuseWhatIsNotTheirFile) {
  TemporaryDirectory const directory;
  Path const file = directory / "results.json";
  EXPECT_ERROR(Results::read(file), "No such file");
  for (char const* const text :
       {"", "{", "[]", "{\"machine\": 1}", "{\"machine\":\"a\",\"commit\":\"b\",\"runs\":3}"}) {
    put(file, text);
    EXPECT_ERROR(Results::read(file), "is not one");
  }
  EXPECT_ERROR(Results().write("/dev/full"), "No space left");
}

TEST(Results, DescribeTheMachineOnOneLine) {
  std::string const machine = attn::io::describe_machine();
  EXPECT_EQ(machine.find('\n'), std::string::npos);
  EXPECT_NE(machine.find(Kokkos::DefaultExecutionSpace::name()), std::string::npos);
}

}  // namespace
