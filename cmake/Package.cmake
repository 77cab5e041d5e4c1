# What `cmake --install` puts where, and the Debian package that CPack makes of it:
#
#   cpack --config build/release/CPackConfig.cmake -G DEB
#
# The package holds the component `runtime`, stripped; its dependencies are what dpkg-shlibdeps finds.
include(GNUInstallDirs)
set(muster_doc_dir ${CMAKE_INSTALL_DATAROOTDIR}/doc/muster)

install(TARGETS muster muster-agent RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
install(FILES README.md CHANGELOG.md packaging/copyright DESTINATION ${muster_doc_dir}
  COMPONENT runtime)
install(DIRECTORY docs examples DESTINATION ${muster_doc_dir} COMPONENT runtime
  PATTERN __pycache__ EXCLUDE PATTERN runs EXCLUDE)
install(DIRECTORY include/muster DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)

# Packing builds nothing: muster and muster-agent are there, or it fails and says so.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME muster)
set(CPACK_PACKAGE_CONTACT "Muster maintainers <maintainers@users.noreply.r-seed-ef02836c.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "launcher for distributed training with or without MPI")
set(CPACK_PACKAGE_DESCRIPTION "\
Muster starts distributed training on a node and keeps hold of it until the
last byte is stored and the last process is gone. It places every rank on its
cores, starts the ranks with Open MPI's mpirun or by itself, stores what each
of them writes, names the rank that failed first, and ends with a true code.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL runtime)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS openmpi-bin)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "python3")
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
include(CPack)
