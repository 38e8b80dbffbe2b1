# Compiler settings for the project's own code. Generated guest code has its own (src/guest).
include(CheckCCompilerFlag)
find_package(PkgConfig REQUIRED)

add_library(nx_options INTERFACE)
target_include_directories(nx_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(nx_options INTERFACE _GNU_SOURCE)
target_compile_options(nx_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow
  -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wundef)
if(NX_WERROR)
  target_compile_options(nx_options INTERFACE -Werror)
endif()

# Hardening that costs nothing worth having: PIE, full RELRO, no executable stack, fortified libc
# calls, stack canaries, stack-clash probes, landing pads for indirect branches (x86-64's CET, ARM's
# BTI) and readiness for shadow stacks. tests/escape/test_binaries.py looks for each.
set(NX_HARDENING -fstack-protector-strong)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64") # clang takes the flag elsewhere, and complains
  set(branches -mbranch-protection=standard)
else()
  set(branches -fcf-protection=full)
endif()
foreach(flag -fstack-clash-protection ${branches})
  string(MAKE_C_IDENTIFIER "NX_HAS${flag}" has)
  check_c_compiler_flag(${flag} ${has})
  if(${has})
    list(APPEND NX_HARDENING ${flag})
  endif()
endforeach()
target_compile_options(nx_options INTERFACE ${NX_HARDENING})
target_link_options(nx_options INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code
  -Wl,--as-needed)
# All our code is ready for shadow stacks. Debian's start files do not say that of themselves, though
# they are, and one object that does not is enough to lose the mark. It says nothing of indirect
# branches: there the start files really lack the landing pads.
include(CheckLinkerFlag)
check_linker_flag(C -Wl,-z,shstk NX_HAS_Z_SHSTK)
if(NX_HAS_Z_SHSTK)
  target_link_options(nx_options INTERFACE -Wl,-z,shstk)
endif()
if(NX_SANITIZE)
  target_compile_options(nx_options INTERFACE -fsanitize=address,undefined -fno-omit-frame-pointer
    -fno-sanitize-recover=undefined)
  target_link_options(nx_options INTERFACE -fsanitize=address,undefined)
  if(NX_FUZZ)
    target_compile_options(nx_options INTERFACE -fsanitize=fuzzer-no-link)
  endif()
else()
  # Fortify needs the optimiser, and fights with AddressSanitizer's interceptors.
  target_compile_options(nx_options INTERFACE
    $<$<CONFIG:Release>:-U_FORTIFY_SOURCE> $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=3>)
endif()
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

# nx_add_library(NAME [DEPS lib...] [EXCLUDE file...]): one static library per folder of src/, made
# of every .c file in it. What it may use is exactly what DEPS names: the link enforces direction.
function(nx_add_library name)
  cmake_parse_arguments(arg "" "" "DEPS;EXCLUDE;SOURCES" ${ARGN})
  if(NOT arg_SOURCES)
    file(GLOB arg_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  endif()
  foreach(file ${arg_EXCLUDE})
    list(REMOVE_ITEM arg_SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  endforeach()
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC nx_options ${arg_DEPS})
endfunction()

# nx_add_unit_tests(FOLDER DEPS lib...): one executable and one CTest entry per tests/unit/FOLDER/test_*.c.
# The target `unit_tests` is all of them, for whoever wants no more than these (deploy/Dockerfile).
add_custom_target(unit_tests)
function(nx_add_unit_tests folder)
  cmake_parse_arguments(arg "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/${folder}/test_*.c)
  foreach(source ${sources})
    get_filename_component(test ${source} NAME_WE)
    add_executable(unit_${folder}_${test} ${source})
    target_link_libraries(unit_${folder}_${test} PRIVATE ${arg_DEPS} PkgConfig::CMOCKA)
    add_dependencies(unit_tests unit_${folder}_${test})
    add_test(NAME unit/${folder}/${test} COMMAND unit_${folder}_${test})
    set_tests_properties(unit/${folder}/${test} PROPERTIES TIMEOUT 60 LABELS unit)
  endforeach()
endfunction()
