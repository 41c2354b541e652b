# cmake --install: the library, its public headers under include/heft, the CMake package and pkg-config's file; the program
# where it is built. HeftPackage.cmake is about packages of it all.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS heft EXPORT heft-targets COMPONENT library)
install(FILES ${PROJECT_SOURCE_DIR}/heft.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/heft COMPONENT library)
foreach(folder IN LISTS heft_public_folders)
  file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.h)
  foreach(header IN LISTS headers)
    file(STRINGS ${header} internal LIMIT_COUNT 1 REGEX "^// .*Internal")
    if(NOT internal)
      install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/heft/${folder} COMPONENT library)
    endif()
  endforeach()
endforeach()

set(heft_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/heft)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/heftConfig.cmake.in ${PROJECT_BINARY_DIR}/heftConfig.cmake
                              INSTALL_DESTINATION ${heft_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/heftConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT heft-targets NAMESPACE heft:: FILE heftTargets.cmake DESTINATION ${heft_package_dir} COMPONENT library)
install(FILES ${PROJECT_BINARY_DIR}/heftConfig.cmake ${PROJECT_BINARY_DIR}/heftConfigVersion.cmake
              ${PROJECT_SOURCE_DIR}/cmake/FindoneDNN.cmake DESTINATION ${heft_package_dir} COMPONENT library)

# Relative to where it lies, since cmake --install --prefix decides that later.
set(heft_pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH heft_pc_prefix /${heft_pc_dir} /)
string(REGEX REPLACE "/$" "" heft_pc_prefix "${heft_pc_prefix}")
set(heft_pc_static "")
if(NOT BUILD_SHARED_LIBS)
  set(heft_pc_static " -lfmt -lz -lpthread")
  if(HEFT_ONEDNN)
    string(APPEND heft_pc_static " -ldnnl")
  endif()
  if(HEFT_CUDA_ENABLED)
    string(APPEND heft_pc_static " -lcublas -lcublasLt -lcudart_static -lrt -ldl")
  endif()
  if(HEFT_OPENMP AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    string(APPEND heft_pc_static " -lgomp")
  endif()
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/heft.pc.in ${PROJECT_BINARY_DIR}/heft.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/heft.pc DESTINATION ${heft_pc_dir} COMPONENT library)

# Under /usr on Debian things have places and forms of their own.
set(heft_debian OFF)
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr" AND EXISTS /etc/debian_version)
  set(heft_debian ON)
endif()
set(heft_zsh_dir ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
if(heft_debian)
  set(heft_zsh_dir ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
endif()

if(TARGET heft_cli)
  install(TARGETS heft_cli COMPONENT program)
  # The program says what it takes, for the manual and for shells.
  set(heft_written ${PROJECT_BINARY_DIR}/written)
  set(heft_man ${heft_written}/heft.1)
  set(heft_bash ${heft_written}/heft)
  set(heft_zsh ${heft_written}/_heft)
  set(heft_fish ${heft_written}/heft.fish)
  file(MAKE_DIRECTORY ${heft_written})
  add_custom_command(OUTPUT ${heft_man} ${heft_bash} ${heft_zsh} ${heft_fish} DEPENDS heft_cli
                     COMMAND heft_cli man > ${heft_man}
                     COMMAND heft_cli completion bash > ${heft_bash}
                     COMMAND heft_cli completion zsh > ${heft_zsh}
                     COMMAND heft_cli completion fish > ${heft_fish})
  add_custom_target(heft_written ALL DEPENDS ${heft_man} ${heft_bash} ${heft_zsh} ${heft_fish})
  if(heft_debian)
    add_custom_command(OUTPUT ${heft_man}.gz DEPENDS ${heft_man} COMMAND gzip -9nc ${heft_man} > ${heft_man}.gz)
    add_custom_target(heft_manual ALL DEPENDS ${heft_man}.gz)
    add_dependencies(heft_manual heft_written)
    string(APPEND heft_man .gz)
  endif()
  install(FILES ${heft_man} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)
  install(FILES ${heft_bash} DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT program)
  install(FILES ${heft_zsh} DESTINATION ${heft_zsh_dir} COMPONENT program)
  install(FILES ${heft_fish} DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT program)
endif()
include(HeftPackage)
