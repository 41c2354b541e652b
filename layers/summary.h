// What a network consists of, as a table for people.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "layers/module.h"

namespace heft {

struct SummaryRow {
  std::string name;   // dotted; "" is the network itself
  std::string layer;  // describe()
  Shape output;
  std::int64_t parameters = 0;  // of this module and those within
  std::int64_t output_bytes = 0;
  bool leaf = true;  // no module within
};
struct Summary {
  std::vector<SummaryRow> rows;  // modules that ran, outermost first
  std::int64_t parameters = 0;
  std::int64_t trainable = 0;         // of these, not frozen
  std::int64_t parameter_bytes = 0;   // with buffers
  std::int64_t activation_bytes = 0;  // results of the leaf layers for this input

  // Columns name, layer, output shape, parameters, memory; one row per leaf layer; then the totals.
  std::string str() const;
};

// From a forward pass of zeros of shape `input`, in evaluation mode and without a graph: nothing of `net` changes.
// f32 unless the parameters are f64. Errors are those of net(x).
Summary summarize(Module& net, const Shape& input);

}  // namespace heft
