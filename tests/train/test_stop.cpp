#include "attn/train/stop.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace attn;
using namespace attn::train;

TEST(StopRequest, ASignal_IsRememberedAndTheProgramGoesOn) {
  for (int const signal : {SIGINT, SIGTERM}) {
    StopRequest const stop;
    EXPECT_FALSE(stop.requested());
    EXPECT_EQ(stop.exit_code(), 0);
    std::raise(signal);
    EXPECT_TRUE(stop.requested());
    EXPECT_EQ(stop.exit_code(), 128 + signal);
  }
  StopRequest const another;
  EXPECT_FALSE(another.requested());
}

template <class Body>
int signal_that_ended_a_child(Body const& body) {
  pid_t const child = ::fork();
  if (child == 0) {
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST(StopRequest, TheSecondSignal_EndsTheProgram) {
  EXPECT_EQ(signal_that_ended_a_child([] {
              StopRequest const stop;
              std::raise(SIGINT);
            }),
            0);
  EXPECT_EQ(signal_that_ended_a_child([] {
              StopRequest const stop;
              std::raise(SIGINT);
              std::raise(SIGINT);
            }),
            SIGINT);
}

/// Whether the handler of SIGINT runs on a stack of its own.
bool handled_apart() {
  struct ::sigaction action {};
  ::stack_t stack{};
  ::sigaction(SIGINT, nullptr, &action);
  ::sigaltstack(nullptr, &stack);
  return (action.sa_flags & SA_ONSTACK) != 0 && (stack.ss_flags & SS_DISABLE) == 0;
}

TEST(StopRequest, TheHandler_LeavesTheStackOfTheInterruptedCodeAlone) {
  EXPECT_FALSE(handled_apart());
  {
    StopRequest const stop;
    EXPECT_TRUE(handled_apart());
  }
  EXPECT_FALSE(handled_apart());
}

TEST(StopRequest, AfterItsLife_SignalsActAsBefore) {
  EXPECT_EQ(signal_that_ended_a_child([] {
              { StopRequest const stop; }
              std::raise(SIGTERM);
            }),
            SIGTERM);
}

}  // namespace
