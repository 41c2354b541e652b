# cmake -D BENCH=heft-bench -D ONEDNN=ON -P check_bench.cmake: heft-bench keeps its protocol, and says what is wrong with a request.
# With -D PYTHON=python3 -D COMPARE=bench/compare.py instead: compare.py makes a table of it.
set(number "[0-9]+\\.[0-9]+")

if(DEFINED PYTHON)
  execute_process(COMMAND ${PYTHON} ${COMPARE} --device cpu --heft ${BENCH} --peers none --models mlp --batch 1 --rounds 1 --seconds 0.02
                          --warmup 2 --wait-idle 0
                  OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE code)
  if(NOT code EQUAL 0 OR NOT out MATCHES "\\| mlp \\| 1 \\| \\*\\*heft\\*\\* \\| ${number} \\| ${number} \\.\\. ${number} \\| – \\| [0-9]+ \\|")
    message(FATAL_ERROR "expected a table with a row of heft's; got exit code ${code} and\n${out}${err}")
  endif()
  if(ONEDNN)
    execute_process(COMMAND ${PYTHON} ${COMPARE} --device cpu --heft ${BENCH} --peers none --models mlp --batch 1 --rounds 1 --seconds 0.02
                            --warmup 2 --wait-idle 0 --bare --hog --threads 2 1
                    OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE code)
    set(times "${number} \\| ${number} \\.\\. ${number}")
    foreach(expected IN ITEMS "large matrix product \\(oneDNN\\) \\| [0-9]+ GFLOP/s" "ratio \\| bare \\| core taken \\|"
            "\\*\\*heft, 1 thread\\*\\* \\| ${times} \\| – \\| ${number} \\| ${number} \\|"
            "bare primitives, 2 threads \\| ${times} \\| – \\| – \\| ${number} \\|"
            "mlp, batch 1, train, from 1 to 2 threads: heft ${number}, bare primitives ${number} times as fast")
      if(NOT code EQUAL 0 OR NOT out MATCHES "${expected}")
        message(FATAL_ERROR "expected '${expected}' in a table with bare primitives; got exit code ${code} and\n${out}${err}")
      endif()
    endforeach()
  endif()
  execute_process(COMMAND ${PYTHON} ${COMPARE} --device cpu --heft ${BENCH}-that-is-not-there --peers none --models mlp --rounds 1
                  OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE code)
  if(NOT code EQUAL 1 OR NOT out MATCHES "heft: not measured: cannot be started" OR out MATCHES "\\*\\*heft")
    message(FATAL_ERROR "expected exit code 1 and a line on the program that is not there; got ${code} and\n${out}${err}")
  endif()
  # --processes starts every program that often, and deals the rounds out to them.
  set(started ${CMAKE_CURRENT_BINARY_DIR}/check_bench_started)
  file(REMOVE ${started})
  file(WRITE ${started}.sh "#!/bin/sh\necho $1 >>'${started}'\nexec '${BENCH}' \"$@\"\n")
  file(CHMOD ${started}.sh PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
  execute_process(COMMAND ${PYTHON} ${COMPARE} --device cpu --heft ${started}.sh --peers none --models mlp --batch 1 --rounds 3 --processes 2
                          --seconds 0.02 --warmup 2 --wait-idle 0
                  OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE code)
  file(READ ${started} starts)
  if(NOT code EQUAL 0 OR NOT starts STREQUAL "info\nserve\nserve\n" OR NOT out MATCHES "each was started 2[ \n]times"
     OR NOT out MATCHES "in [0-3] of 3 rounds")
    message(FATAL_ERROR "expected a program started twice for three rounds; got '${starts}', exit code ${code} and\n${out}${err}")
  endif()
  execute_process(COMMAND ${PYTHON} ${COMPARE} --device cpu --heft ${BENCH} --peers none --models mlp --rounds 3 --processes 4
                  OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE code)
  if(NOT code EQUAL 2 OR NOT err MATCHES "expected --processes of 1 to --rounds 3; got 4")
    message(FATAL_ERROR "expected more processes than rounds to be refused; got ${code} and\n${out}${err}")
  endif()
  # A peer that is not there is named, and what it needs.
  configure_file(${BENCH} ${CMAKE_CURRENT_BINARY_DIR}/without_peer/heft-bench COPYONLY)
  execute_process(COMMAND ${PYTHON} ${COMPARE} --device cpu --heft ${CMAKE_CURRENT_BINARY_DIR}/without_peer/heft-bench --peers c++ --models mlp
                          --batch 1 --rounds 1 --seconds 0.02 --warmup 2 --wait-idle 0
                  OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE code)
  if(NOT code EQUAL 0 OR NOT out MATCHES "PyTorch c\\+\\+: not measured: cannot be started: .*torch-peer: .*libtorch-dev")
    message(FATAL_ERROR "expected a line on the peer that is not there; got ${code} and\n${out}${err}")
  endif()
  return()
endif()

# check(requests exit-code expected-output expected-errors [flags of serve ...])
function(check requests code out err)
  set(file ${CMAKE_CURRENT_BINARY_DIR}/check_bench_requests)
  file(WRITE ${file} "${requests}")
  execute_process(COMMAND ${BENCH} serve lenet5 train 8 --warmup 2 ${ARGN} INPUT_FILE ${file} OUTPUT_VARIABLE said ERROR_VARIABLE complained
                  RESULT_VARIABLE returned)
  file(REMOVE ${file})
  if(NOT returned EQUAL "${code}" OR NOT said MATCHES "^${out}$" OR NOT complained MATCHES "^${err}$")
    message(FATAL_ERROR "'${requests}': expected exit code ${code}, '${out}' and '${err}'; got ${returned}, '${said}' and '${complained}'")
  endif()
endfunction()
check("1\n3\n" 0 "ready\n${number} ${number}\n${number} ${number}\n" "")
check("" 0 "ready\n" "")
check("1\nmany\n1\n" 2 "ready\n${number} ${number}\n" "heft-bench: expected a number of steps, at least 1; got 'many'\n")
if(ONEDNN)
  check("1\n3\n" 0 "ready\n${number} ${number}\n${number} ${number}\n" "" --bare)
else()
  check("" 1 "" "heft-bench: bare_step: expected a build with oneDNN, .*" --bare)
endif()
check("" 2 "" "--bare: expected --device cpu; got cuda\n.*" --bare --device cuda)
