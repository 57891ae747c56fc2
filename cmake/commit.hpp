/// Which sources is a program built from?
#pragma once

/// `git describe --always --dirty` of the last build, or "unknown" outside of a repository.
extern char const* const built_from_commit;
