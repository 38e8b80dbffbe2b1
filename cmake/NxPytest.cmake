# Defines NX_PYTEST, the command that runs a pytest suite, and nx_add_pytest. Debian's interpreter
# first: the modules the tests use are Debian packages, which a python3 earlier in PATH may not see.
set(NX_PYTHON /usr/bin/python3)
foreach(candidate /usr/bin/python3 python3)
  execute_process(COMMAND ${candidate} -c "import pytest, requests, websockets, jwt, cryptography, yaml, jsonschema"
    RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
  if(status EQUAL 0)
    set(NX_PYTHON ${candidate})
    break()
  endif()
endforeach()
# Where none has them (a machine that only builds), the suites fail when run rather than vanish.
set(NX_PYTEST ${NX_PYTHON} -B -m pytest -p no:cacheprovider -q)

# Seconds that the longest suites take: they begin first, so that none is left alone at the end.
set(NX_SECONDS_hostile/handlers 40)
set(NX_SECONDS_fault/worker 12)
set(NX_SECONDS_blackbox/ext_http_limits 22)
set(NX_SECONDS_blackbox/http_serve 20)
set(NX_SECONDS_fault/exhausted 20)
set(NX_SECONDS_deploy 15)
set(NX_SECONDS_escape/filter 12)
foreach(name capability_matrix leftovers limits side_by_side suspend)
  set(NX_SECONDS_hostile/${name} 6)
endforeach()

# nx_add_pytest(NAME PATH TIMEOUT seconds [LABELS label...] [ARGS arg...]): one CTest entry. The
# build under test is told through NX_BUILD_DIR.
function(nx_add_pytest name path)
  cmake_parse_arguments(arg "" "TIMEOUT" "LABELS;ARGS" ${ARGN})
  add_test(NAME ${name} COMMAND ${NX_PYTEST} ${path} ${arg_ARGS}
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}"
    ENVIRONMENT "NX_BUILD_DIR=${CMAKE_BINARY_DIR}")
  if(DEFINED NX_SECONDS_${name})
    set_tests_properties(${name} PROPERTIES COST ${NX_SECONDS_${name}})
  endif()
endfunction()
