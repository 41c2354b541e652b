// What a run runs on, for its records. What the system does not tell is "unknown".
#pragma once

#include <string>
#include <vector>

namespace heft::cli {

std::string processor();                        // "AMD EPYC 7B13"
std::vector<std::string> processor_features();  // of those that the kernels differ by: "avx2", "avx512f", ...
std::string operating_system();                 // "Linux x86_64"
std::string command_line();                     // of this program, quoted for a shell

}  // namespace heft::cli
