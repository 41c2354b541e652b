// heft-bench: training and inference steps on request, so that another program can time heft beside its peers in one minute
// on one machine. bench/compare.py does; bench/torch_peer.py answers the same requests with PyTorch. `heft-bench serve --help`
// has the protocol. Synthetic images stay on the device: no loader, no copy, nothing but the step.
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "bench/limit/floor.h"
#include "bench/limit/limit.h"
#include "core/check.h"
#include "heft.h"
#ifdef HEFT_ONEDNN
#include <dnnl.h>
#endif

namespace {

using namespace heft;

struct Options {
  std::string model = {}, kind = {}, device = "cpu", optimizer = "absgd", graph = "on", precision = "tf32";
  std::int64_t batch = 0;
  int warmup = 20;
  bool bare = false;
};

Shape image_of(const std::string& model) { return model == "mlp" || model == "lenet5" ? Shape{1, 28, 28} : Shape{3, 32, 32}; }

std::unique_ptr<optim::Optimizer> make_optimizer(const std::string& name, const std::vector<Variable>& parameters) {
  if (name == "sgd") return std::make_unique<optim::SGD>(parameters, optim::SGDOptions{.lr = 1e-3, .momentum = 0.9});
  return std::make_unique<optim::ABSGD>(
      parameters, optim::ABSGDOptions{.lr = 1e-3, .momentum = 0.9, .weight_decay = 0, .lambda = 5, .gamma = 0.9});
}

ModulePtr make_network(const Options& options) {
  manual_seed(1);
  const Shape image = image_of(options.model);
  return models::make(options.model, {.classes = 10, .channels = image[0], .image_size = image[1]});
}
Tensor make_images(const Options& options) {
  const Shape image = image_of(options.model);
  return random_normal({options.batch, image[0], image[1], image[2]});
}

// A step that can be repeated and timed.
class Job {
 public:
  virtual ~Job() = default;

  void run(std::int64_t steps) {
    for (std::int64_t i = 0; i < steps; ++i) advance();
    cuda::synchronize();
  }

  // Milliseconds a step.
  double timed(std::int64_t steps) {
    cuda::synchronize();
    const auto start = std::chrono::steady_clock::now();
    run(steps);
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() /
           static_cast<double>(steps);
  }

  // The most memory that the process has had.
  virtual double peak_mib() const {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024;
  }
  // Whether steps are replayed, or why not.
  virtual std::string how() const { return "one by one"; }

 private:
  virtual void advance() = 0;
};

class HeftJob final : public Job {
 public:
  explicit HeftJob(const Options& options)
      : device_(options.device == "cuda" ? Device::cuda() : Device::cpu()), trains_(options.kind == "train") {
    net_ = make_network(options);
    net_->to(device_);
    images_ = make_images(options).to(device_);
    labels_ = random_uniform({options.batch}, 0, 10).astype(DType::i64).to(device_);
    if (trains_) {
      optimizer_ = make_optimizer(options.optimizer, net_->parameters());
      recorded_ = std::make_unique<train::RecordedStep>(*net_, *optimizer_, options.graph == "on");
    } else {
      net_->eval();
      no_grad_.emplace();
    }
    reset_peak_memory(device_);
    run(device_.is_cuda() ? std::max(options.warmup, 1) : options.warmup);  // a recording needs one
    if (!trains_ && options.graph == "on" && device_.is_cuda())
      replay_ = backend_for(images_).record([this] { logits_ = infer(); });
  }

  std::string how() const override {
    if (replay_ || (recorded_ && recorded_->replays() > 0)) return "replayed";
    return recorded_ && !recorded_->why_not().empty() ? recorded_->why_not() : "one by one";
  }

  // What tensors held at once on a GPU, the warm-up and the recording with them.
  double peak_mib() const override {
    return device_.is_cuda() ? static_cast<double>(memory_stats(device_).peak_bytes_in_use) / (1 << 20) : Job::peak_mib();
  }

 private:
  void advance() override {
    if (replay_) replay_->replay();
    else if (trains_) (*recorded_)({images_, labels_}, [this](const std::vector<Tensor>& in) { return train(in); });
    else logits_ = infer();
  }

  Tensor infer() { return (*net_)(images_).value(); }

  std::vector<Tensor> train(const std::vector<Tensor>& in) {
    const Variable losses = cross_entropy((*net_)(in[0]), in[1]);
    optimizer_->zero_grad();
    backward(optimizer_->reduce(losses));
    optimizer_->step();
    return {losses.value()};
  }

  Device device_;
  bool trains_;
  ModulePtr net_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  std::unique_ptr<train::RecordedStep> recorded_;
  std::unique_ptr<Recording> replay_;
  Tensor images_, labels_, logits_;
  std::optional<NoGrad> no_grad_;
};

class BareJob final : public Job {
 public:
  explicit BareJob(const Options& options)
      : step_(bench::bare_step(*make_network(options), make_images(options), options.kind == "train")) {
    run(options.warmup);
  }

 private:
  void advance() override { step_(); }

  std::function<void()> step_;
};

std::unique_ptr<Job> make_job(const Options& options) {
  if (options.bare) return std::make_unique<BareJob>(options);
  return std::make_unique<HeftJob>(options);
}

int serve(const Options& options) {
  cuda::set_precision(cuda::precision_named(options.precision));
  const std::unique_ptr<Job> job = make_job(options);
  if (options.device == "cuda") std::cerr << "heft-bench: steps are " << job->how() << '\n';
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::int64_t steps = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), steps);
    if (error != std::errc{} || end != line.data() + line.size() || steps < 1) {
      std::cerr << fmt::format("heft-bench: expected a number of steps, at least 1; got '{}'\n", line);
      return 2;
    }
    const double milliseconds = job->timed(steps);
    std::cout << fmt::format("{:.6f} {:.1f}", milliseconds, job->peak_mib()) << std::endl;
  }
  return 0;
}

struct FloorOptions {
  std::vector<std::string> models = {"lenet5", "resnet20", "resnet32", "vgg_small"}, precisions = {"tf32"};
  std::vector<std::int64_t> batches = {128, 1024};
  bench::Rates rates;  // a rate of 0 is measured
  bool times = false;
};

// In TFLOP/s, GB/s and microseconds, as they are given and printed.
bench::Rates rates_of(const FloorOptions& options) {
  const bench::Rates& given = options.rates;
  if (given.tf32 > 0 && given.bf16 > 0 && given.copy > 0)
    return {given.tf32 * 1e12, given.bf16 * 1e12, given.copy * 1e9, given.launch * 1e-6};
#ifdef HEFT_BENCH_CUDA
  if (cuda::is_available()) return bench::measure_rates();
#endif
  fail<DeviceError>("floor", "expected a GPU, or its rates by --tf32, --bf16 and --copy; {}", cuda::why_unavailable());
}

int show_floor(const FloorOptions& options) {
  const bench::Rates rates = rates_of(options);
  std::vector<bench::FloorRequest> requests;
  for (const std::string& model : options.models)
    for (const std::int64_t batch : options.batches)
      requests.push_back({model, batch, bench::step_work(*make_network({.model = model}), image_of(model), batch)});
  const auto step_time = [&](const bench::FloorRequest& request, const std::string& precision) -> std::optional<double> {
    if (!options.times) return {};
    cuda::set_precision(cuda::precision_named(precision));
    Options step{.model = request.model, .kind = "train", .device = "cuda", .precision = precision, .batch = request.batch};
    HeftJob job(step);
    std::vector<double> times;
    for (int round = 0; round < 5; ++round) times.push_back(job.timed(request.batch > 512 ? 20 : 100));
    std::nth_element(times.begin(), times.begin() + 2, times.end());
    return times[2];
  };
  std::cout << bench::floor_table(rates, requests, options.precisions, step_time);
  return 0;
}

// One "name: value" a line, what a table of results says of the program that it measured.
int info(bool measure) {
  std::cout << "heft: " << version() << '\n';
#if defined(__clang__)
  std::cout << "compiler: clang++ " __clang_version__ "\n";
#else
  std::cout << "compiler: g++ " __VERSION__ "\n";
#endif
#ifdef HEFT_ONEDNN
  const dnnl_version_t* dnnl = dnnl_version();
  std::cout << fmt::format("oneDNN: {}.{}.{}\n", dnnl->major, dnnl->minor, dnnl->patch);
#else
  std::cout << "oneDNN: none, plain loops\n";
#endif
#ifdef HEFT_BENCH_CUDA
  std::cout << "CUDA toolkit: " HEFT_BENCH_CUDA "\n";
#else
  std::cout << "CUDA toolkit: none\n";
#endif
  std::cout << "threads: " << num_threads() << '\n';
  if (measure) std::cout << fmt::format("sgemm: {:.0f} GFLOP/s\n", bench::sgemm_rate());
  return 0;
}

constexpr const char* kProtocol =
    R"(Protocol: after the warm-up, one line `ready`; then, for each line on stdin that holds a number of steps, one line
  MILLISECONDS_PER_STEP PEAK_MIB
until stdin ends. Time is wall clock over those steps, the device synchronised before and after. Peak memory: on a GPU what
tensors held at once, from the start of the warm-up on, on a CPU the process's resident set at its largest, libraries included.

train: forward, cross entropy, zero_grad, backward, the optimizer's step (momentum 0.9; ABSGD: lambda 5, gamma 0.9).
infer: forward in evaluation mode, without a graph.
--bare: the same step's oneDNN primitives and nothing else, as bench/limit/limit.h says: what heft's step is measured against.
Images are synthetic and on the device: 1x28x28 for mlp and lenet5, 3x32x32 for the others, 10 classes.

Example: printf '10\n10\n' | heft-bench serve lenet5 train 128)";

}  // namespace

int main(int argc, char** argv) {
  const CoreSharing sharing;  // as in the heft program
  CLI::App app("heft-bench: heft's steps on request, for bench/compare.py to time beside others", "heft-bench");
  app.require_subcommand(1);
  app.footer("Exit codes: 0 success, 1 the step failed, 2 wrong argument or request, or a device that is not there.");
  Options options;
  CLI::App* serving = app.add_subcommand("serve", "Answer each number of steps on stdin with milliseconds a step and peak MiB");
  serving->add_option("MODEL", options.model, "Network")
      ->required()
      ->check(CLI::IsMember({"mlp", "lenet5", "vgg_small", "resnet20", "resnet32"}));
  serving->add_option("KIND", options.kind, "What a step is")->required()->check(CLI::IsMember({"train", "infer"}));
  serving->add_option("BATCH", options.batch, "Images of a step")->required()->check(CLI::Range(1, 1 << 20));
  serving->add_option("--device", options.device, "cpu or cuda")->check(CLI::IsMember({"cpu", "cuda"}))->capture_default_str();
  serving->add_option("--optimizer", options.optimizer, "absgd or sgd")
      ->check(CLI::IsMember({"absgd", "sgd"}))
      ->capture_default_str();
  serving->add_option("--graph", options.graph, "On a GPU, whether a step is recorded once and replayed: on or off")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  serving->add_option("--precision", options.precision, "On a GPU, how products are computed: tf32, f32 or bf16. A CPU has f32")
      ->check(CLI::IsMember(cuda::precision_names()))
      ->capture_default_str();
  serving->add_option("--warmup", options.warmup, "Steps before `ready`")->check(CLI::Range(0, 100000))->capture_default_str();
  serving->add_flag("--bare", options.bare, "Nothing but the step's oneDNN primitives, on a CPU");
  serving->footer(kProtocol);
  CLI::App* describing = app.add_subcommand("info", "Versions of heft, its compiler and libraries, and the CPU's threads");
  bool measure = false;
  describing->add_flag("--measure", measure, "Also how fast this CPU multiplies large matrices");
  FloorOptions wanted;
  CLI::App* flooring =
      app.add_subcommand("floor", "The least time of a training step that a GPU's arithmetic and memory allow");
  flooring->add_option("--models", wanted.models, "Networks")->capture_default_str();
  flooring->add_option("--batch", wanted.batches, "Images of a step")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  flooring->add_option("--precision", wanted.precisions, "tf32, bf16 or both")
      ->check(CLI::IsMember({"tf32", "bf16"}))
      ->capture_default_str();
  flooring->add_flag("--times", wanted.times, "Beside heft's own step, with ABSGD");
  flooring->add_option("--tf32", wanted.rates.tf32, "TFLOP/s of the device [measured]");
  flooring->add_option("--bf16", wanted.rates.bf16, "TFLOP/s of the device [measured]");
  flooring->add_option("--copy", wanted.rates.copy, "GB/s of the device, read and written [measured]");
  flooring->add_option("--launch", wanted.rates.launch, "Microseconds from kernel to kernel [measured]");
  try {
    app.parse(argc, argv);
    if (options.bare && options.device != "cpu")
      throw CLI::ValidationError("--bare", "expected --device cpu; got " + options.device);
    if (flooring->parsed()) return show_floor(wanted);
    return describing->parsed() ? info(measure) : serve(options);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const DeviceError& error) {
    std::cerr << "heft-bench: " << error.what() << '\n';
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "heft-bench: " << error.what() << '\n';
    return 1;
  }
}
