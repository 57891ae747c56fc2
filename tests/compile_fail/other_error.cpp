// expected error: other_error: a sentence that no compiler says
#ifndef ATTN_EXPECT_SUCCESS
static_assert(false, "another sentence");
#endif
