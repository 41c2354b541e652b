// Philox against the known answers of the Random123 library (kat_vectors), and what is built on it: distributions,
// independence of streams, repeatability.
#include "core/random.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <thread>

#include "core/error.h"
#include "core/parallel.h"
#include "tests/core/numbers.h"

using namespace heft;
using namespace heft::test;

namespace {

using Words = std::array<std::uint32_t, 4>;

// Leaves the process-wide sequence as it was found.
struct KeepRandomState {
  RandomState state = random_state();
  KeepRandomState() = default;
  KeepRandomState(const KeepRandomState&) = delete;
  KeepRandomState& operator=(const KeepRandomState&) = delete;
  ~KeepRandomState() { set_random_state(state); }
};

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// The k-th moment about `centre`.
double moment(const std::vector<double>& values, double centre, int k) {
  double sum = 0;
  for (const double v : values) sum += std::pow(v - centre, k);
  return sum / static_cast<double>(values.size());
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const double ma = mean_of(a), mb = mean_of(b);
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - ma) * (b[i] - mb);
  return sum / static_cast<double>(a.size()) / std::sqrt(moment(a, ma, 2) * moment(b, mb, 2));
}

// Pearson's statistic against equal frequencies, in deviations from its expectation: within +-5 for a fair count.
double unevenness(const std::vector<std::int64_t>& counts) {
  const double n = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  const double expected = n / static_cast<double>(counts.size()), freedom = static_cast<double>(counts.size() - 1);
  double statistic = 0;
  for (const std::int64_t count : counts) statistic += std::pow(static_cast<double>(count) - expected, 2) / expected;
  return (statistic - freedom) / std::sqrt(2 * freedom);
}

std::vector<double> uniforms(RandomKey key, std::int64_t n) {
  return random_uniform(Shape{n}, 0, 1, DType::f64, Device::cpu(), key).to_vector<double>();
}

constexpr std::int64_t kMany = 1 << 18;

}  // namespace

TEST_CASE("Philox4x32-10 gives the known answers", "[random]") {
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  // The same through a key: position in the low half of the counter, stream in the high half, low words first.
  const RandomKey key{.seed = 0x299f31d0a4093822, .stream = 0x0370734413198a2e, .offset = 0x85a308d3243f6a80};
  CHECK(random_bits(key, 8) == Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("A uniform takes 24 bits", "[random]") {
  CHECK(uniform_from_bits(0) == 0.0f);
  CHECK(uniform_from_bits(0xff) == 0.0f);
  CHECK(uniform_from_bits(0x100) == 0x1p-24f);
  CHECK(uniform_from_bits(0x80000000) == 0.5f);
  CHECK(uniform_from_bits(0xffffffff) == 1 - 0x1p-24f);
}

TEST_CASE("A uniform stays below its upper bound where a float would round to it", "[random]") {
  const RandomKey key{.seed = 1, .offset = 6318945};
  REQUIRE(random_bits(key, 0)[1] >> 8 == 0xffffff);
  CHECK(random_uniform(Shape{2}, 1, 2, DType::f32, Device::cpu(), key).to_vector<float>()[1] == 2 - 0x1p-23f);
  CHECK(random_uniform(Shape{2}, -2, -1, DType::f32, Device::cpu(), key).to_vector<float>()[1] == -1 - 0x1p-23f);
  CHECK(random_uniform(Shape{2}, 1, 2, DType::f64, Device::cpu(), key).to_vector<double>()[1] == 2 - 0x1p-24);
}

TEST_CASE("Element i of a random tensor depends on the key and i alone", "[random]") {
  const RandomKey key{.seed = 7, .stream = 3, .offset = 2};
  SECTION("a uniform is word i mod 4 of block i / 4") {
    const std::vector<float> values = random_uniform(Shape{3, 7}, 0, 1, DType::f32, Device::cpu(), key).to_vector<float>();
    for (std::size_t i = 0; i < values.size(); ++i) CHECK(values[i] == uniform_from_bits(random_bits(key, i / 4)[i % 4]));
  }
  SECTION("whatever the shape, the dtype, the offset") {
    const std::vector<double> whole = uniforms(key, 40);
    CHECK(random_uniform(Shape{2, 5}, 0, 1, DType::f32, Device::cpu(), key).to_vector<double>() ==
          std::vector<double>(whole.begin(), whole.begin() + 10));
    CHECK(uniforms({.seed = 7, .stream = 3, .offset = 4}, 32) == std::vector<double>(whole.begin() + 8, whole.end()));
  }
  SECTION("a normal in f32 is the one in f64, rounded") {
    const Tensor wide = random_normal(Shape{1000}, 1, 2, DType::f64, Device::cpu(), key);
    CHECK(random_normal(Shape{1000}, 1, 2, DType::f32, Device::cpu(), key).to_vector<float>() == wide.to_vector<float>());
  }
  SECTION("whatever the thread count") {
    const int before = num_threads();
    const auto draw = [&] {
      std::vector<double> all = uniforms(key, kMany);
      const std::vector<double> normals = random_normal(Shape{kMany}, 0, 1, DType::f64, Device::cpu(), key).to_vector<double>();
      all.insert(all.end(), normals.begin(), normals.end());
      return all;
    };
    set_num_threads(1);
    const std::vector<double> one = draw();
    set_num_threads(3);
    const std::vector<double> three = draw();
    set_num_threads(before);
    CHECK(one == three);
  }
}

TEST_CASE("Uniforms are uniform", "[random]") {
  const double n = static_cast<double>(kMany);
  const std::vector<double> u = uniforms({.seed = 11}, kMany);
  CHECK(std::abs(mean_of(u) - 0.5) < 5 / std::sqrt(12 * n));
  CHECK(std::abs(moment(u, 0.5, 2) - 1.0 / 12) < 5 / std::sqrt(180 * n));
  REQUIRE(std::all_of(u.begin(), u.end(), [](double v) { return v >= 0 && v < 1; }));
  std::vector<std::int64_t> bins(64), pairs(256);
  for (std::size_t i = 0; i < u.size(); ++i) {
    ++bins.at(static_cast<std::size_t>(u[i] * 64));
    if (i % 2 == 1) ++pairs[static_cast<std::size_t>(u[i - 1] * 16) * 16 + static_cast<std::size_t>(u[i] * 16)];
  }
  CHECK(std::abs(unevenness(bins)) < 5);
  CHECK(std::abs(unevenness(pairs)) < 5);
  const std::vector<double> scaled =
      random_uniform(Shape{1000}, -3, 5, DType::f64, Device::cpu(), {.seed = 11}).to_vector<double>();
  for (std::size_t i = 0; i < scaled.size(); ++i) CHECK(scaled[i] == -3 + 8 * u[i]);
  CHECK(random_uniform(Shape{4}, 2, 2).to_vector<double>() == std::vector<double>(4, 2.0));
}

TEST_CASE("Normals are normal", "[random]") {
  const double n = static_cast<double>(kMany);
  const std::vector<double> z = random_normal(Shape{kMany}, 0, 1, DType::f64, Device::cpu(), {.seed = 12}).to_vector<double>();
  CHECK(std::abs(mean_of(z)) < 5 / std::sqrt(n));
  CHECK(std::abs(moment(z, 0, 2) - 1) < 5 * std::sqrt(2 / n));
  CHECK(std::abs(moment(z, 0, 3)) < 5 * std::sqrt(15 / n));
  CHECK(std::abs(moment(z, 0, 4) - 3) < 5 * std::sqrt(96 / n));
  for (const double bound : {0.5, 1.0, 2.0, 3.0}) {
    const double inside =
        static_cast<double>(std::count_if(z.begin(), z.end(), [=](double v) { return std::abs(v) < bound; })) / n;
    const double expected = std::erf(bound / std::sqrt(2.0));
    CHECK(std::abs(inside - expected) < 5 * std::sqrt(expected * (1 - expected) / n));
  }
  CHECK(std::all_of(z.begin(), z.end(), [](double v) { return std::isfinite(v) && std::abs(v) < 7; }));
  // The two of one block, and neighbours over blocks.
  std::vector<double> even, odd;
  for (std::size_t i = 0; i < z.size(); ++i) (i % 2 == 0 ? even : odd).push_back(z[i]);
  CHECK(std::abs(correlation(even, odd)) < 5 / std::sqrt(n / 2));
  CHECK(std::abs(correlation({even.begin() + 1, even.end()}, {odd.begin(), odd.end() - 1})) < 5 / std::sqrt(n / 2));
  const Tensor moved = random_normal(Shape{1000}, 10, 0.5, DType::f64, Device::cpu(), {.seed = 12});
  for (std::size_t i = 0; i < 1000; ++i) CHECK(moved.to_vector<double>()[i] == Approx(10 + 0.5 * z[i]).epsilon(1e-15));
}

TEST_CASE("Seeds and streams are independent of each other", "[random]") {
  const std::vector<double> base = uniforms({.seed = 5, .stream = 9}, 1 << 16);
  for (const RandomKey& other :
       {RandomKey{.seed = 6, .stream = 9}, RandomKey{.seed = 5, .stream = 10}, RandomKey{.seed = 9, .stream = 5},
        RandomKey{.seed = 5, .stream = 9, .offset = 1}, RandomKey{.seed = std::uint64_t{5} << 32, .stream = 9}})
    CHECK(std::abs(correlation(base, uniforms(other, 1 << 16))) < 5 / 256.0);
}

TEST_CASE("stream_of tells names and indices apart", "[random]") {
  CHECK(stream_of("shuffle", 3) == stream_of("shuffle", 3, 0));
  std::set<std::uint64_t> seen;
  std::size_t asked = 0;
  for (const char* name : {"", "a", "b", "ab", "shuffle", "augment"})
    for (std::uint64_t a = 0; a < 50; ++a)
      for (std::uint64_t b = 0; b < 50; ++b, ++asked) seen.insert(stream_of(name, a, b));
  for (const std::uint64_t large : {std::uint64_t{1} << 32, std::uint64_t{1} << 63}) {
    seen.insert(stream_of("a", large));
    seen.insert(stream_of("a", 0, large));
    asked += 2;
  }
  CHECK(seen.size() == asked);
}

TEST_CASE("RandomSequence", "[random]") {
  const RandomKey key{.seed = 21, .stream = 4, .offset = 100};
  SECTION("gives the words of its blocks in order") {
    RandomSequence sequence(key);
    for (std::uint64_t i = 0; i < 12; ++i) CHECK(sequence.bits() == random_bits(key, i / 4)[i % 4]);
  }
  SECTION("uniform and normal") {
    RandomSequence sequence(key);
    std::vector<double> u, z;
    for (int i = 0; i < 100000; ++i) {
      u.push_back(sequence.uniform());
      z.push_back(sequence.normal());
    }
    CHECK(*std::min_element(u.begin(), u.end()) >= 0);
    CHECK(*std::max_element(u.begin(), u.end()) < 1);
    CHECK(std::abs(mean_of(u) - 0.5) < 5 / std::sqrt(12e5));
    CHECK(std::abs(mean_of(z)) < 5 / std::sqrt(1e5));
    CHECK(std::abs(moment(z, 0, 2) - 1) < 5 * std::sqrt(2e-5));
    CHECK(std::abs(moment(z, 0, 4) - 3) < 5 * std::sqrt(96e-5));
    CHECK(std::any_of(u.begin(), u.end(), [](double v) { return v != static_cast<double>(static_cast<float>(v)); }));
  }
  SECTION("below is fair") {
    RandomSequence sequence(key);
    for (const std::uint64_t n : {2, 3, 6, 7, 100}) {
      std::vector<std::int64_t> counts(n);
      for (int i = 0; i < 60000; ++i) ++counts.at(sequence.below(n));
      INFO("below " << n);
      CHECK(std::abs(unevenness(counts)) < 5);
    }
    // A remainder of 64 bits by 3 * 2^62 would fall in the first third half of the time.
    std::vector<std::int64_t> thirds(3);
    for (int i = 0; i < 30000; ++i) ++thirds.at(sequence.below(std::uint64_t{3} << 62) >> 62);
    CHECK(std::abs(unevenness(thirds)) < 5);
    CHECK(sequence.below(1) == 0);
    CHECK(contains(message_of<ValueError>([&] { sequence.below(0); }), "got 0"));
  }
  SECTION("shuffle takes every order equally often") {
    RandomSequence sequence(key);
    std::vector<std::int64_t> counts(27);
    for (int i = 0; i < 30000; ++i) {
      std::array<int, 3> items{0, 1, 2};
      sequence.shuffle(std::span<int>(items));
      ++counts[static_cast<std::size_t>(items[0] * 9 + items[1] * 3 + items[2])];
    }
    std::erase(counts, 0);
    REQUIRE(counts.size() == 6);
    CHECK(std::abs(unevenness(counts)) < 5);
  }
}

TEST_CASE("A random permutation is a permutation that depends on the key", "[random]") {
  const std::vector<std::int64_t> order = random_permutation(1000, {.seed = 1, .stream = 2});
  CHECK(order == random_permutation(1000, {.seed = 1, .stream = 2}));
  CHECK(order != random_permutation(1000, {.seed = 1, .stream = 3}));
  CHECK(order != random_permutation(1000, {.seed = 2, .stream = 2}));
  std::vector<std::int64_t> sorted = order, counted(1000);
  std::sort(sorted.begin(), sorted.end());
  std::iota(counted.begin(), counted.end(), std::int64_t{0});
  CHECK(sorted == counted);
  CHECK(order != counted);
  CHECK(random_permutation(0, {}).empty());
  CHECK(random_permutation(1, {}) == std::vector<std::int64_t>{0});
  CHECK(contains(message_of<ValueError>([] { random_permutation(-1, {}); }), "got -1"));
}

TEST_CASE("manual_seed makes a program repeatable", "[random]") {
  const KeepRandomState keep;
  const auto draw = [] {
    std::vector<double> all = random_normal(Shape{5}).to_vector<double>();
    const std::vector<double> more = random_uniform(Shape{5}).to_vector<double>();
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  manual_seed(3);
  const std::vector<double> first = draw(), second = draw();
  CHECK(first != second);
  manual_seed(3);
  CHECK(draw() == first);
  const RandomState after_one = random_state();
  CHECK(draw() == second);
  set_random_state(after_one);
  CHECK(draw() == second);
  manual_seed(4);
  CHECK(draw() != first);
}

TEST_CASE("No two callers get the same key", "[random]") {
  const KeepRandomState keep;
  manual_seed(1);
  std::vector<std::vector<std::uint64_t>> streams(4);
  std::vector<std::thread> threads;
  for (std::vector<std::uint64_t>& mine : streams)
    threads.emplace_back([&mine] {
      for (int i = 0; i < 1000; ++i) mine.push_back(next_random_key().stream);
    });
  for (std::thread& thread : threads) thread.join();
  std::set<std::uint64_t> all;
  for (const std::vector<std::uint64_t>& part : streams) all.insert(part.begin(), part.end());
  CHECK(all.size() == 4000);
}

TEST_CASE("Random tensors refuse what they cannot hold", "[random]") {
  CHECK(contains(message_of<ValueError>([] { random_uniform(Shape{2}, 1, 0); }),
                 "[random_uniform] expected low <= high; got [1, 0)"));
  CHECK(contains(message_of<ValueError>([] { random_normal(Shape{2}, 0, -1); }), "[random_normal]"));
  CHECK(contains(message_of<DTypeError>([] { random_uniform(Shape{2}, 0, 1, DType::i32); }), "i32"));
  CHECK(contains(message_of<DTypeError>([] { random_normal(Shape{2}, 0, 1, DType::u8); }), "u8"));
}
