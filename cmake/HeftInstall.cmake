# cmake --install: the library, its public headers under include/heft, the CMake package; the program where it is built.
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
if(TARGET heft_cli)
  install(TARGETS heft_cli COMPONENT program)
endif()
