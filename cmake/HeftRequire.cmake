# heft_require(package debian-package): find_package, or one sentence that says what to install.
macro(heft_require package debian)
  find_package(${package} QUIET)
  if(NOT ${package}_FOUND)
    message(FATAL_ERROR "heft needs ${package}: apt-get install ${debian} (script/setup installs all it needs)")
  endif()
endmacro()
