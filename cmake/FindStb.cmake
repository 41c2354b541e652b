# stb_image as the distribution ships it -> Stb_INCLUDE_DIR (with stb/stb_image.h), Stb_VERSION (stb_image's own).
# A header alone, compiled in data/image_stb.cpp with limits of ours: Debian's libstb.so has others, so nothing links it.
find_path(Stb_INCLUDE_DIR stb/stb_image.h)
if(Stb_INCLUDE_DIR)
  file(STRINGS "${Stb_INCLUDE_DIR}/stb/stb_image.h" line LIMIT_COUNT 1 REGEX "stb_image - v[0-9.]+")
  if(line MATCHES "stb_image - v([0-9.]+)")
    set(Stb_VERSION "${CMAKE_MATCH_1}")
  endif()
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Stb REQUIRED_VARS Stb_INCLUDE_DIR VERSION_VAR Stb_VERSION)
mark_as_advanced(Stb_INCLUDE_DIR)
