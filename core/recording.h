// Work of a device that was recorded once, to be done again without the CPU describing it a second time.
#pragma once

namespace heft {

class Recording {
 public:
  virtual ~Recording() = default;
  // The same operations on the same tensors, with whatever values these hold by now. Numbers that the recorded work was given
  // by value (a learning rate, a shape) are those of the recording.
  virtual void replay() = 0;
};

}  // namespace heft
