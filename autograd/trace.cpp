#include "autograd/trace.h"

#include <utility>

namespace heft {
namespace {

thread_local OperationObserver* observer = nullptr;

}  // namespace

OperationObserver::OperationObserver(See see) : see_(std::move(see)), outer_(observer) { observer = this; }
OperationObserver::~OperationObserver() { observer = outer_; }

bool observed() { return observer != nullptr; }

void observe(const Operation& operation) {
  for (OperationObserver* o = observer; o; o = o->outer_) o->see_(operation);
}

}  // namespace heft
