# Settings for this project alone when it is the top one, and heft_compile_options(target) for our own targets.
if(PROJECT_IS_TOP_LEVEL)
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo" FORCE)
  endif()
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  find_program(HEFT_CCACHE ccache)
  mark_as_advanced(HEFT_CCACHE)
  if(HEFT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    # Clones and build folders share results; the sloppiness is what ccache asks for with a precompiled header.
    set(CMAKE_CXX_COMPILER_LAUNCHER
        ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
        CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${HEFT_CCACHE})
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
  endif()
endif()

string(REPLACE ";" "," heft_sanitizers "${HEFT_SANITIZE}")
function(heft_compile_options target)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic $<$<BOOL:${HEFT_WERROR}>:-Werror>>
    $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20 --expt-relaxed-constexpr --extended-lambda -Xcompiler=-Wall,-Wextra,-Wno-unused-parameter
                               $<$<BOOL:${HEFT_WERROR}>:-Werror=all-warnings>>)
  if(HEFT_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
    target_compile_definitions(${target} PRIVATE FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION)  # clang leaves this to us
  endif()
  if(heft_sanitizers)
    target_compile_options(${target} PRIVATE -fsanitize=${heft_sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${heft_sanitizers})
  endif()
endfunction()
