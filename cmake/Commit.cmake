# Run by each build: writes SOURCE, which defines `built_from_commit` (commit.hpp), where the commit has changed.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git describe --always --dirty WORKING_DIRECTORY ${ROOT}
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${SOURCE}
     CONTENT "#include \"commit.hpp\"\n\nchar const* const built_from_commit = \"@commit@\";\n" @ONLY)
