#include "attn/io/detail/nearest.hpp"

#include <gtest/gtest.h>

namespace {

using attn::io::detail::did_you_mean;
using attn::io::detail::edit_distance;
using attn::io::detail::nearest;

TEST(EditDistance, CountsInsertionsDeletionsSubstitutionsAndSwaps) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("poly", "poly"), 0u);
  EXPECT_EQ(edit_distance("poly", "ploy"), 1u);
  EXPECT_EQ(edit_distance("seed", "sed"), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(Nearest, NamesAWordOnlyWhenOneIsClose) {
  EXPECT_EQ(nearest("activaton", {"seed", "activation", "scale"}), "activation");
  EXPECT_EQ(nearest("zzz", {"seed", "activation"}), "");
  EXPECT_EQ(nearest("", {"seed"}), "");
  EXPECT_EQ(nearest("seed", {}), "");
  EXPECT_EQ(did_you_mean("sofmax", {"poly", "softmax"}), "; did you mean softmax?");
  EXPECT_EQ(did_you_mean("gelu", {"poly", "softmax"}), "");
}

}  // namespace
