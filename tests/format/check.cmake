# Names the sources below FOLDER that CLANG_FORMAT would change.
file(GLOB_RECURSE sources ${FOLDER}/*.hpp ${FOLDER}/*.cpp ${FOLDER}/*.cu)
if(NOT sources)
  message(FATAL_ERROR "${FOLDER} has no sources")
endif()
execute_process(COMMAND ${CLANG_FORMAT} --dry-run -Werror --ferror-limit=1 --style=file ${sources}
                RESULT_VARIABLE failed ERROR_VARIABLE messages)
if(failed)
  string(REGEX MATCHALL "[^\n]*: error: code should be clang-formatted" places "${messages}")
  list(TRANSFORM places REPLACE ":[0-9]+:[0-9]+: error:.*" "")
  list(REMOVE_DUPLICATES places)
  list(JOIN places "\n  " places)
  message(FATAL_ERROR "Run `clang-format -i` on:\n  ${places}")
endif()
