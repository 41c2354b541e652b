// Every error heft throws. The text reads "[op] what was expected; what came", with shapes and values.
#pragma once

#include <stdexcept>
#include <string>

namespace heft {

// Base of all errors of the library; catch this to catch everything a user's mistake or bad input can cause.
class Error : public std::runtime_error {
 public:
  Error(const std::string& op, const std::string& message) : std::runtime_error("[" + op + "] " + message), op_(op) {}
  // The operation, layer or reader that refused, e.g. "conv2d".
  const std::string& op() const { return op_; }

 private:
  std::string op_;
};

#define HEFT_ERROR(Name)      \
  class Name : public Error { \
   public:                    \
    using Error::Error;       \
  }

HEFT_ERROR(ShapeError);     // shapes that do not fit together, an axis or index out of range
HEFT_ERROR(DTypeError);     // an element type the operation does not take, or two that differ
HEFT_ERROR(DeviceError);    // a device that is missing, or tensors on different devices
HEFT_ERROR(ValueError);     // an option or argument outside its domain
HEFT_ERROR(AutogradError);  // a graph used twice, a missing gradient, a saved tensor changed in place
HEFT_ERROR(DataError);      // a file that lies, is truncated, or is not what its name says
HEFT_ERROR(NumericError);   // NaN or infinity where a finite number is needed; a diverged run
HEFT_ERROR(MemoryError);    // an allocation the machine refused
#undef HEFT_ERROR

// A file that cannot be written: its disk is full, or the user may not. The data that it was to hold are in order.
class WriteError : public DataError {
 public:
  using DataError::DataError;
};

}  // namespace heft
