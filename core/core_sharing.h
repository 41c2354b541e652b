// Computing beside other processes.
#pragma once

#include <memory>

namespace heft {

// While one lives: as long as other processes compete for the CPUs, the threads of this one that compute keep to a CPU each.
//
// OpenMP's threads spin while they wait for each other. Where the scheduler puts two of them on one CPU, because another
// process has the other, the one spins away the time that the other needs: steps take several times as long, and far longer
// still beside a second process of the kind (bench/compare.py --hog measures it). Kept apart, they lose no more than what the
// other process takes.
//
// A thread looks ten times a second at how long this process's threads wait for a CPU, which costs nothing that can be
// measured. Only where as many of them are busy as there are CPUs, and they have to wait, is each bound to one; a second after
// the waiting has ended they may run anywhere again. The number of threads, and so every result, stays.
//
// For programs: a library does not move its host's threads unasked. Does nothing where the environment says how OpenMP's
// threads wait or where they run (OMP_WAIT_POLICY, GOMP_SPINCOUNT, OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY), nor outside
// Linux.
class CoreSharing {
 public:
  CoreSharing();
  ~CoreSharing();  // lets the threads run anywhere again
  CoreSharing(const CoreSharing&) = delete;
  CoreSharing& operator=(const CoreSharing&) = delete;

 private:
  class Watch;
  std::unique_ptr<Watch> watch_;
};

}  // namespace heft
