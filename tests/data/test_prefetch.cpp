#include "attn/data/prefetch.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

namespace {

using attn::data::Prefetch;

TEST(Prefetch, GivesEveryItemInOrderAndThenNothing) {
  for (int const n : {0, 1, 2, 3, 100}) {
    std::array<int, 2> items{};
    int filled = 0;
    Prefetch<int> prefetch(items, [&](int& item) {
      item = filled;
      return filled++ < n;
    });
    for (int i = 0; i < n; ++i) {
      int* const item = prefetch.next();
      ASSERT_NE(item, nullptr);
      EXPECT_EQ(*item, i);
    }
    EXPECT_EQ(prefetch.next(), nullptr);
    EXPECT_EQ(prefetch.next(), nullptr);
  }
}

TEST(Prefetch, PreparesTheNextItemWhileOneIsInUseAndLeavesThatAlone) {
  std::array<int, 2> items{};
  std::atomic<int> filled = 0;
  Prefetch<int> prefetch(items, [&](int& item) {
    item = ++filled;
    return true;
  });
  int const* const first = prefetch.next();
  while (filled < 2) std::this_thread::yield();  // fails by time-out if nothing is prepared
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(filled, 2) << "no more than one ahead";
  EXPECT_EQ(*first, 1);
  EXPECT_EQ(*prefetch.next(), 2);
}

TEST(Prefetch, ErrorAppearsWithTheItemThatFailed) {
  std::array<int, 2> items{};
  int filled = 0;
  Prefetch<int> prefetch(items, [&](int& item) {
    item = filled;
    if (filled++ == 2) throw std::runtime_error("third");
    return true;
  });
  EXPECT_EQ(*prefetch.next(), 0);
  EXPECT_EQ(*prefetch.next(), 1);
  EXPECT_THROW(prefetch.next(), std::runtime_error);
  EXPECT_THROW(prefetch.next(), std::runtime_error);
}

TEST(Prefetch, CanBeLeftAtAnyTime) {
  for (int uses = 0; uses < 5; ++uses) {
    std::array<int, 2> items{};
    std::atomic<int> running = 0;
    {
      Prefetch<int> prefetch(items, [&](int&) {
        ++running;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        --running;
        return true;
      });
      for (int i = 0; i < uses; ++i) prefetch.next();
    }
    EXPECT_EQ(running, 0);
  }
}

}  // namespace
