#include <gtest/gtest.h>

#include <thread>

#include "child.hpp"

namespace {

using bench::run_child;

int processors_of(std::string const& shell) {
  auto const result = run_child({"sh", "-c", shell}, 20);
  EXPECT_EQ(result.fault, "");
  return result.lines.empty() ? 0 : std::atoi(result.lines.front().c_str());
}

TEST(Child, RunsOnAllProcessorsAlthoughTheMainThreadIsBoundToOne) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  if (CPU_COUNT(&before) < 2) GTEST_SKIP() << "there is one processor";
  CPU_ZERO(&one);
  for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  std::jthread const unbound([](std::stop_token stop) {  // a thread of ours that may run anywhere
    while (!stop.stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  sched_setaffinity(0, sizeof one, &one);
  EXPECT_EQ(processors_of("env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc"), CPU_COUNT(&before));
  cpu_set_t still;
  sched_getaffinity(0, sizeof still, &still);
  EXPECT_EQ(CPU_COUNT(&still), 1) << "our own thread stays where it is";
  sched_setaffinity(0, sizeof before, &before);
}

TEST(Child, HasNothingInItsEnvironmentThatBindsThreads) {
  setenv("OMP_PLACES", "cores", 1);
  setenv("GOMP_CPU_AFFINITY", "0", 1);
  EXPECT_EQ(run_child({"sh", "-c", "env | grep -c -e OMP_PROC_BIND -e OMP_PLACES -e AFFINITY || true"}, 20).lines,
            std::vector<std::string>{"0"});
  unsetenv("OMP_PLACES");
  unsetenv("GOMP_CPU_AFFINITY");
}

TEST(Child, GivesItsOutputAndSaysHowItEnded) {
  EXPECT_EQ(run_child({"echo", "1 2"}, 20).lines, std::vector<std::string>{"1 2"});
  EXPECT_EQ(run_child({"/nowhere/python"}, 20).fault, "there is no program '/nowhere/python'");
  auto const half = run_child({"sh", "-c", "echo half; exit 3"}, 20);
  EXPECT_EQ(half.lines, std::vector<std::string>{"half"});
  EXPECT_EQ(half.fault, "it ended with status 3");
  EXPECT_EQ(run_child({"sh", "-c", "kill -9 $$"}, 20).fault, "it was ended by signal 9");
}

TEST(Child, AnswersLineByLine) {
  bench::Child child({"cat"});
  for (std::string const line : {"one", "{\"two\": 2}", ""}) {
    child.write(line);
    EXPECT_EQ(child.read(20), line);
  }
  EXPECT_EQ(child.read(0.01), std::nullopt);
  EXPECT_EQ(child.fault(), "it took longer than 0 s");
  bench::Child gone({"true"});
  EXPECT_EQ(gone.read(20), std::nullopt);
  gone.write("nobody listens");
  EXPECT_EQ(gone.read(20), std::nullopt);
}

TEST(Child, IsEndedWhenItTakesTooLong) { EXPECT_EQ(run_child({"sleep", "60"}, 1).fault, "it took longer than 1 s"); }

}  // namespace
