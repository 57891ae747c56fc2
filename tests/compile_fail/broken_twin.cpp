// expected error: broken_twin: found in both twins
static_assert(false, "broken_twin: found in both twins");
