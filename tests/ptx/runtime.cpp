// The calls of the CUDA runtime and its driver that heft makes, in the place of the real ones: kernels are launched on the
// interpreter. A call that is missing here does not link.
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>

#include "tests/ptx/memory.h"
#include "tests/ptx/module.h"
#include "tests/ptx/options.h"
#include "tests/ptx/streams.h"
#include "tests/ptx/tensor_map.h"

namespace ptx {
namespace {

constexpr int kMostShared = 232448, kSharedUnasked = 49152;  // of a block, on Hopper
constexpr std::size_t kDeviceBytes = std::size_t{8} << 30;

// A fat binary is a module once a kernel of it is launched.
struct Source {
  const void* fat_binary;
  std::unique_ptr<Module> module;
};
struct Known {
  Source* source;
  std::string name;
  std::unique_ptr<Kernel> kernel;  // null until it is launched
  int dynamic_shared = kSharedUnasked;
};

struct KnownKernels {
  ~KnownKernels() {
    if (options().kernels.empty()) return;
    std::FILE* file = std::fopen(options().kernels.c_str(), "a");
    if (file == nullptr) return;
    for (const auto& [host, one] : all) fmt::print(file, "{} {}\n", one.kernel ? 1 : 0, one.name);
    std::fclose(file);
  }
  std::unordered_map<const void*, Known> all;  // by the function that stands for it on the host
};
KnownKernels& kernels() {
  static KnownKernels one;
  return one;
}

thread_local cudaError_t last_error = cudaSuccess;
cudaError_t error(cudaError_t status) { return last_error = status; }

Stream& of(cudaStream_t stream) {
  static Stream& standard = make_stream();
  return stream ? *reinterpret_cast<Stream*>(stream) : standard;
}
Event& of(cudaEvent_t event) { return *reinterpret_cast<Event*>(event); }

// The same, where all of the bytes are allocated.
template <class T>
T* checked(T* memory, std::size_t bytes) {
  check_memory(reinterpret_cast<u64>(memory), bytes);
  return memory;
}

cudaError_t launch(const void* function, dim3 grid, dim3 size, void** arguments, std::size_t shared, cudaStream_t stream) {
  const std::lock_guard lock(runtime_mutex());
  const auto found = kernels().all.find(function);
  if (found == kernels().all.end()) return error(cudaErrorInvalidDeviceFunction);
  Known& known = found->second;
  if (!known.kernel) {
    if (!known.source->module) known.source->module = std::make_unique<Module>(ptx_of(known.source->fat_binary));
    known.kernel = decode(*known.source->module, known.name);
  }
  Kernel& kernel = *known.kernel;
  const u64 threads = u64{size.x} * size.y * size.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535 || size.z > 64 ||
      threads == 0 || threads > static_cast<u64>(kernel.most_threads > 0 ? kernel.most_threads : 1024))
    return error(cudaErrorInvalidConfiguration);
  if (shared > static_cast<std::size_t>(known.dynamic_shared) ||
      shared + kernel.shared_bytes >
          static_cast<std::size_t>(known.dynamic_shared > kSharedUnasked ? kMostShared : kSharedUnasked))
    return error(cudaErrorInvalidValue);
  std::vector<char> parameters(kernel.parameter_bytes);
  for (std::size_t k = 0; k < kernel.parameters.size(); ++k)
    std::memcpy(parameters.data() + kernel.parameters[k].offset, arguments[k], kernel.parameters[k].size);
  queue_work(of(stream), [&kernel, grid, size, shared, parameters] {
    run_grid(kernel, {grid.x, grid.y, grid.z}, {size.x, size.y, size.z}, static_cast<u32>(shared), parameters.data());
  });
  return cudaSuccess;
}

CUresult encode_tiled(CUtensorMap* to, CUtensorMapDataType type, cuuint32_t rank, void* data, const cuuint64_t* extents,
                      const cuuint64_t* strides, const cuuint32_t* box, const cuuint32_t* steps,
                      CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion,
                      CUtensorMapFloatOOBfill) {
  const auto address = reinterpret_cast<u64>(data);
  if (rank == 0 || rank > 4 || address % 16 != 0 || reinterpret_cast<u64>(to) % 64 != 0) return CUDA_ERROR_INVALID_VALUE;
  const bool tf32 = type == CU_TENSOR_MAP_DATA_TYPE_TFLOAT32;
  if ((!tf32 && type != CU_TENSOR_MAP_DATA_TYPE_INT32) || interleave != CU_TENSOR_MAP_INTERLEAVE_NONE ||
      swizzle != CU_TENSOR_MAP_SWIZZLE_128B || box[0] != 32)
    fail("a tensor map that the interpreter does not know");
  TensorMap map{address, rank, tf32, {1, 1, 1, 1}, {1, 1, 1, 1}, {4, 0, 0, 0}};
  for (u32 k = 0; k < rank; ++k) {
    if (extents[k] == 0 || extents[k] > 0xffffffffu || box[k] == 0 || box[k] > 256 || steps[k] != 1)
      return CUDA_ERROR_INVALID_VALUE;
    map.extents[k] = static_cast<u32>(extents[k]), map.box[k] = box[k];
    if (k + 1 == rank) break;
    if (strides[k] % 16 != 0 || strides[k] >= u64{1} << 40) return CUDA_ERROR_INVALID_VALUE;
    map.strides[k + 1] = strides[k];
  }
  std::memset(to, 0, sizeof *to);
  std::memcpy(to, &map, sizeof map);
  return CUDA_SUCCESS;
}

struct Configuration {
  dim3 grid, size;
  std::size_t shared;
  void* stream;
};
thread_local std::vector<Configuration> configurations;  // between <<<...>>> and the call

}  // namespace
}  // namespace ptx

using namespace ptx;  // NOLINT: the names below are the runtime's

extern "C" {

// What nvcc's host code calls.
void** __cudaRegisterFatBinary(void* wrapper) {
  const void* fat_binary = nullptr;
  std::memcpy(&fat_binary, static_cast<const char*>(wrapper) + 8, sizeof fat_binary);  // after a magic number and a version
  return reinterpret_cast<void**>(new Source{fat_binary, nullptr});
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterVar(void**, char*, char*, const char*, int, std::size_t, int, int) {}
void __cudaRegisterFunction(void** source, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*, int*) {
  kernels().all[host] = Known{reinterpret_cast<Source*>(source), name, nullptr};
}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 size, std::size_t shared, void* stream) {
  configurations.push_back({grid, size, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* size, std::size_t* shared, void* stream) {
  const Configuration& last = configurations.back();
  *grid = last.grid, *size = last.size, *shared = last.shared;
  std::memcpy(stream, &last.stream, sizeof last.stream);
  configurations.pop_back();
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(host));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 size, void** arguments, std::size_t shared,
                               cudaStream_t stream) {
  return launch(kernel, grid, size, arguments, shared, stream);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* function, void** arguments) {
  if (c->numAttrs > 0) fail("a launch with attributes, which the interpreter does not know");
  return launch(function, c->gridDim, c->blockDim, arguments, c->dynamicSmemBytes, c->stream);
}

// Devices and errors.
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : error(cudaErrorInvalidDevice); }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  switch (which) {
    case cudaDevAttrComputeCapabilityMajor: *value = options().capability / 10; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor: *value = options().capability % 10; return cudaSuccess;
    case cudaDevAttrMultiProcessorCount: *value = options().multiprocessors; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = kMostShared; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = kMostShared + 1024; return cudaSuccess;
    default: fail("a device attribute that the interpreter does not know: {}", static_cast<int>(which));
  }
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::memset(properties, 0, sizeof *properties);
  std::strcpy(properties->name, "PTX interpreter");
  properties->major = options().capability / 10, properties->minor = options().capability % 10;
  properties->multiProcessorCount = options().multiprocessors;
  return cudaSuccess;
}
const char* cudaGetErrorName(cudaError_t status) {
  switch (status) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorNotReady: return "cudaErrorNotReady";
    default: return "a CUDA error";
  }
}
const char* cudaGetErrorString(cudaError_t status) { return cudaGetErrorName(status); }
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute which, int value) {
  const std::lock_guard lock(runtime_mutex());
  if (which != cudaFuncAttributeMaxDynamicSharedMemorySize) fail("a function's attribute that the interpreter does not know");
  if (value > kMostShared) return error(cudaErrorInvalidValue);
  kernels().all.at(function).dynamic_shared = value;
  return cudaSuccess;
}
cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* found) {
  if (std::string_view(name) != "cuTensorMapEncodeTiled")
    fail("a function of the driver that the interpreter does not know: {}", name);
  *function = reinterpret_cast<void*>(&encode_tiled);
  *found = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}

// Memory.
cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  const std::lock_guard lock(runtime_mutex());
  *memory = bytes > kDeviceBytes ? nullptr : allocate(bytes, true);
  return *memory ? cudaSuccess : error(cudaErrorMemoryAllocation);
}
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  const std::lock_guard lock(runtime_mutex());
  *memory = allocate(bytes, false);
  return *memory ? cudaSuccess : error(cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void* memory) {
  const std::lock_guard lock(runtime_mutex());
  release(memory);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) { return cudaFree(memory); }
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  const std::lock_guard lock(runtime_mutex());
  if (is_memory(to) && (is_memory(from) || of(stream).capture)) {
    queue_work(of(stream), [=] { std::memcpy(checked(to, bytes), is_memory(from) ? checked(from, bytes) : from, bytes); });
  } else if (is_memory(to)) {  // pageable memory has been read when the call returns
    const auto* begin = static_cast<const char*>(from);
    queue_work(of(stream), [to, copy = std::vector<char>(begin, begin + bytes)] {
      std::memcpy(checked(to, copy.size()), copy.data(), copy.size());
    });
  } else {  // and written
    if (of(stream).capture) return error(cudaErrorStreamCaptureUnsupported);
    queue_work(of(stream), [=] { std::memcpy(to, checked(from, bytes), bytes); });
    run_until([&] { return of(stream).queue.empty(); });
  }
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(runtime_mutex());
  queue_work(of(stream), [=] { std::memset(checked(to, bytes), value, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
  const std::lock_guard lock(runtime_mutex());
  run_until([] { return of(cudaStream_t{}).queue.empty(); });  // other streams are not waited for
  std::memcpy(is_memory(to) ? checked(to, bytes) : to, is_memory(from) ? checked(from, bytes) : from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  const std::lock_guard lock(runtime_mutex());
  run_until([] { return of(cudaStream_t{}).queue.empty(); });
  std::memset(checked(to, bytes), value, bytes);
  return cudaSuccess;
}

// Streams, events, graphs.
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard lock(runtime_mutex());
  *stream = reinterpret_cast<cudaStream_t>(&make_stream());
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard lock(runtime_mutex());
  if (of(stream).capture) return error(cudaErrorStreamCaptureUnsupported);
  run_until([&] { return of(stream).queue.empty(); });
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const std::lock_guard lock(runtime_mutex());
  if (of(stream).capture) return error(cudaErrorStreamCaptureUnsupported);  // the interpreter's graphs are one stream's
  of(stream).queue.push_back({nullptr, &of(event), of(event).recorded});
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = reinterpret_cast<cudaEvent_t>(new Event);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::lock_guard lock(runtime_mutex());
  run_all();
  delete &of(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(runtime_mutex());
  if (of(stream).capture) return error(cudaErrorStreamCaptureUnsupported);
  queue_work(of(stream), [&one = of(event), times = ++of(event).recorded] { one.done = std::max(one.done, times); });
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {  // ready or not is a matter of chance
  const std::lock_guard lock(runtime_mutex());
  const auto ready = [&] { return of(event).done >= of(event).recorded; };
  if (!ready() && chance()() % 2 == 0) return error(cudaErrorNotReady);
  run_until(ready);
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(runtime_mutex());
  run_until([&] { return of(event).done >= of(event).recorded; });
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {  // there is no time here
  *milliseconds = 1;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const std::lock_guard lock(runtime_mutex());
  if (of(stream).capture) return error(cudaErrorIllegalState);
  of(stream).capture = std::make_unique<Graph>();
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::lock_guard lock(runtime_mutex());
  if (!of(stream).capture) return error(cudaErrorIllegalState);
  *graph = reinterpret_cast<cudaGraph_t>(of(stream).capture.release());
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = of(stream).capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = reinterpret_cast<cudaGraphExec_t>(new Graph(*reinterpret_cast<Graph*>(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const std::lock_guard lock(runtime_mutex());
  for (const Work& work : reinterpret_cast<Graph*>(executable)->work) queue_work(of(stream), work);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<Graph*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete reinterpret_cast<Graph*>(executable);
  return cudaSuccess;
}

}  // extern "C"
