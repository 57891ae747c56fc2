#include "attn/data/prefetch.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

using attn::data::Prefetch;

TEST(Prefetch, GivesEveryItemInOrderAndThenNothing) {
  for (std::size_t const workers : {1, 2, 3, 7}) {
    for (std::uint64_t const n : {0, 1, 2, 3, 100}) {
      std::vector<std::uint64_t> places(workers + 1);
      Prefetch<std::uint64_t> prefetch(places, workers, [&](std::uint64_t number, std::uint64_t& item, std::size_t w) {
        EXPECT_EQ(number % workers, w);
        item = number * number;
        return number < n;
      });
      for (std::uint64_t i = 0; i < n; ++i) {
        std::uint64_t* const item = prefetch.next();
        ASSERT_NE(item, nullptr);
        EXPECT_EQ(*item, i * i);
      }
      EXPECT_EQ(prefetch.next(), nullptr);
      EXPECT_EQ(prefetch.next(), nullptr);
    }
  }
}

TEST(Prefetch, PreparesAsManyItemsAsThereArePlacesButOneAndLeavesTheOneInUseAlone) {
  for (std::size_t const workers : {1, 3}) {
    std::vector<std::uint64_t> places(workers + 1);
    std::atomic<std::size_t> filled = 0;
    Prefetch<std::uint64_t> prefetch(places, workers, [&](std::uint64_t number, std::uint64_t& item, std::size_t) {
      item = number;
      ++filled;
      return true;
    });
    std::uint64_t const* const first = prefetch.next();
    while (filled < workers + 1) std::this_thread::yield();  // fails by time-out if nothing is prepared
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(filled, workers + 1) << "no more than that";
    EXPECT_EQ(*first, 0u);
    EXPECT_EQ(*prefetch.next(), 1u);
  }
}

TEST(Prefetch, ErrorAppearsWithTheItemThatFailed) {
  for (std::size_t const workers : {1, 2, 4}) {
    std::vector<std::uint64_t> places(workers + 1);
    Prefetch<std::uint64_t> prefetch(places, workers, [&](std::uint64_t number, std::uint64_t& item, std::size_t) {
      item = number;
      if (number == 2) throw std::runtime_error("third");
      return true;
    });
    EXPECT_EQ(*prefetch.next(), 0u);
    EXPECT_EQ(*prefetch.next(), 1u);
    EXPECT_THROW(prefetch.next(), std::runtime_error);
    EXPECT_THROW(prefetch.next(), std::runtime_error);
  }
}

TEST(Prefetch, CanBeLeftAtAnyTime) {
  for (int uses = 0; uses < 5; ++uses) {
    std::vector<int> places(4);
    std::atomic<int> running = 0;
    {
      Prefetch<int> prefetch(places, 3, [&](std::uint64_t, int&, std::size_t) {
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

TEST(Prefetch, WantsAWorkerAndTwoPlaces) {
  std::vector<int> one(1), two(2);
  auto const fill = [](std::uint64_t, int&, std::size_t) { return false; };
  EXPECT_THROW(Prefetch<int>(one, 1, fill), attn::Error);
  EXPECT_THROW(Prefetch<int>(two, 0, fill), attn::Error);
}

}  // namespace
