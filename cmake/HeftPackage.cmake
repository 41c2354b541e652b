# cpack -G DEB makes a Debian package (the preset `package`: a shared library; script/package also tries it), -G TGZ an archive.
set(heft_doc_dir ${CMAKE_INSTALL_DATADIR}/doc/heft)
if(heft_debian)
  set(heft_changelog ${PROJECT_BINARY_DIR}/changelog.gz)
  add_custom_command(OUTPUT ${heft_changelog} DEPENDS ${PROJECT_SOURCE_DIR}/CHANGELOG.md
                     COMMAND gzip -9nc ${PROJECT_SOURCE_DIR}/CHANGELOG.md > ${heft_changelog})
  add_custom_target(heft_changelog ALL DEPENDS ${heft_changelog})
  install(FILES ${heft_changelog} DESTINATION ${heft_doc_dir} COMPONENT library)
  install(FILES ${PROJECT_SOURCE_DIR}/cmake/debian/copyright DESTINATION ${heft_doc_dir} COMPONENT library)
  # Of what is compiled in, whose licences ask for it.
  foreach(inside IN ITEMS nlohmann-json3-dev libcli11-dev libstb-dev libtomlplusplus-dev)
    if(EXISTS /usr/share/doc/${inside}/copyright)
      install(FILES /usr/share/doc/${inside}/copyright DESTINATION ${heft_doc_dir} RENAME copyright.${inside} COMPONENT library)
    endif()
  endforeach()
else()
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${heft_doc_dir} RENAME copyright COMPONENT library)
endif()

set(CPACK_PACKAGE_NAME heft)
set(CPACK_PACKAGE_VENDOR "the heft authors")
set(CPACK_PACKAGE_CONTACT "the heft authors <heft@example.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DESCRIPTION
"Trains small convolutional networks on images that are imbalanced or partly
mislabelled, on a CPU: ABSGD and other optimizers that weight samples by their
losses. The program heft, and the library with its C++20 headers, CMake
package and pkg-config file.")
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
if(BUILD_SHARED_LIBS)
  set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/cmake/debian/triggers)
else()
  # What the installed CMake package finds when a program is built on a static library.
  set(CPACK_DEBIAN_PACKAGE_DEPENDS "libfmt-dev, zlib1g-dev, libdnnl-dev")
endif()
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "dataset-fashion-mnist")
set(CPACK_POST_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/HeftDebSize.cmake)
include(CPack)
