// expected error: compiles: nothing is wrong here, which the check must notice
static_assert(true);
