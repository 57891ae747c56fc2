// expected error: right: ask for true
#ifdef ATTN_EXPECT_SUCCESS
static_assert(true, "right: ask for true");
#else
static_assert(false, "right: ask for true");
#endif
