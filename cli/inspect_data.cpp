// heft inspect data: classes, sizes, kinds, duplicates and broken files of a folder or a list of images.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/inspect.h"
#include "cli/output.h"
#include "cli/threads_flag.h"
#include "data/image_report.h"
#include "train/image_sources.h"

namespace heft::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Spread {
  std::int64_t least = 0, median = 0, most = 0;
};
Spread spread(std::vector<std::int64_t> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values.front(), values[(values.size() - 1) / 2], values.back()};
}

// Of one part of a data set.
struct Numbers {
  std::vector<std::int64_t> counts;  // by class
  std::int64_t images = 0, png = 0, jpeg = 0;
  std::int64_t kinds[4] = {0, 0, 0, 0};  // by channels: grey, grey and alpha, RGB, RGB and alpha
  Spread width, height, bytes;
  std::vector<data::BrokenFile> broken;
  std::vector<std::string> empty;  // classes without images
};
constexpr const char* kKinds[] = {"grey", "grey with alpha", "RGB", "RGB with alpha"};

Numbers numbers_of(const data::ImageScan& scan, const std::vector<data::ImageRecord>& records) {
  Numbers n;
  n.counts.resize(scan.class_names.size());
  n.broken = scan.broken;
  std::vector<std::int64_t> widths, heights, sizes;
  for (const data::ImageRecord& record : records) {
    const data::ImageFile& file = scan.files[record.file];
    if (!record.reason.empty()) {
      n.broken.push_back({file.name, record.reason});
      continue;
    }
    ++n.images;
    ++n.counts[static_cast<std::size_t>(file.label)];
    ++(record.info.format == data::ImageFormat::png ? n.png : n.jpeg);
    ++n.kinds[record.info.channels - 1];
    widths.push_back(record.info.width);
    heights.push_back(record.info.height);
    sizes.push_back(static_cast<std::int64_t>(file.bytes));
  }
  n.width = spread(std::move(widths));
  n.height = spread(std::move(heights));
  n.bytes = spread(std::move(sizes));
  for (std::size_t c = 0; c < n.counts.size(); ++c)
    if (n.counts[c] == 0) n.empty.push_back(scan.class_names[c]);
  return n;
}

std::string full_name(const data::ImagePart& part, const std::string& name) {
  return part.name.empty() ? name : part.name + '/' + name;
}

// A name may hold anything; a terminal shall only show it.
std::string printable(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) out += fmt::format("\\x{:02x}", byte);
    else out += c;
  }
  return out;
}

struct Inspected {
  std::vector<data::ImagePart> parts;
  std::vector<Numbers> numbers;
  data::ImageReport report;

  const data::ImageFile& file(std::pair<std::size_t, std::size_t> place) const {
    return parts[place.first].scan.files[place.second];
  }
  std::string name(std::pair<std::size_t, std::size_t> place) const { return full_name(parts[place.first], file(place).name); }
  const std::string& label(std::pair<std::size_t, std::size_t> place) const {
    return parts[place.first].scan.class_names[static_cast<std::size_t>(file(place).label)];
  }
  // What a duplicate spoils: "" where it is but one image twice.
  std::string remark(const data::DuplicateImages& duplicates) const {
    std::string remark;
    for (const auto& place : duplicates.files) {
      if (label(place) != label(duplicates.files.front())) return "of different classes";
      if (place.first != duplicates.files.front().first) remark = "in different parts";
    }
    return remark;
  }
};

Json to_json(const Spread& s) { return {{"min", s.least}, {"median", s.median}, {"max", s.most}}; }

// Names that are not UTF-8 are written with a mark in the place of what is not.
Json json_of(const Inspected& all, const std::string& path) {
  Json json{{"path", path}, {"parts", Json::array()}, {"duplicates", Json::array()}};
  for (std::size_t p = 0; p < all.parts.size(); ++p) {
    const Numbers& n = all.numbers[p];
    Json part{{"name", all.parts[p].name}, {"images", n.images}, {"png", n.png}, {"jpeg", n.jpeg}};
    for (std::size_t c = 0; c < n.counts.size(); ++c)
      part["classes"].push_back({{"name", all.parts[p].scan.class_names[c]}, {"images", n.counts[c]}});
    part["kinds"] = {{"grey", n.kinds[0]}, {"grey_alpha", n.kinds[1]}, {"rgb", n.kinds[2]}, {"rgb_alpha", n.kinds[3]}};
    part["width"] = to_json(n.width);
    part["height"] = to_json(n.height);
    part["bytes"] = to_json(n.bytes);
    part["broken"] = Json::array();
    for (const data::BrokenFile& file : n.broken) part["broken"].push_back({{"file", file.name}, {"reason", file.reason}});
    json["parts"].push_back(std::move(part));
  }
  for (const data::DuplicateImages& duplicates : all.report.duplicates) {
    Json files = Json::array();
    for (const auto& place : duplicates.files) files.push_back({{"file", all.name(place)}, {"class", all.label(place)}});
    json["duplicates"].push_back({{"files", std::move(files)}, {"remark", all.remark(duplicates)}});
  }
  return json;
}

void print_classes(const Inspected& all) {
  std::vector<std::string> names;
  for (const data::ImagePart& part : all.parts)
    for (const std::string& name : part.scan.class_names)
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  std::size_t width = 16;
  for (const std::string& name : names) width = std::max(width, std::min<std::size_t>(printable(name).size() + 2, 48));
  results() << fmt::format("{:<{}}", "class", width);
  for (const data::ImagePart& part : all.parts) results() << fmt::format("{:>10}", part.name.empty() ? "images" : part.name);
  results() << '\n';
  for (const std::string& name : names) {
    results() << fmt::format("{:<{}}", printable(name), width);
    for (std::size_t p = 0; p < all.parts.size(); ++p) {
      const auto& classes = all.parts[p].scan.class_names;
      const auto found = std::find(classes.begin(), classes.end(), name);
      results() << fmt::format("{:>10}",
                               found == classes.end()
                                   ? std::string("-")
                                   : std::to_string(all.numbers[p].counts[static_cast<std::size_t>(found - classes.begin())]));
    }
    results() << '\n';
  }
  results() << fmt::format("{:<{}}", "all", width);
  for (const Numbers& n : all.numbers) results() << fmt::format("{:>10}", n.images);
  results() << "\n\n";
}

void print(const Inspected& all) {
  print_classes(all);
  for (std::size_t p = 0; p < all.parts.size(); ++p) {
    const Numbers& n = all.numbers[p];
    const std::string front = all.parts[p].name.empty() ? "" : all.parts[p].name + ": ";
    if (n.images > 0) {
      results() << fmt::format("{}width {} to {}, median {}; height {} to {}, median {}; {} to {} bytes, median {}\n", front,
                               n.width.least, n.width.most, n.width.median, n.height.least, n.height.most, n.height.median,
                               n.bytes.least, n.bytes.most, n.bytes.median);
      std::string kinds;
      for (std::size_t k = 0; k < 4; ++k)
        if (n.kinds[k] > 0) kinds += fmt::format(", {} {}", n.kinds[k], kKinds[k]);
      results() << fmt::format("{}{} PNG, {} JPEG{}\n", front, n.png, n.jpeg, kinds);
    }
    for (const std::string& name : n.empty) results() << fmt::format("{}no image of {}\n", front, printable(name));
    if (!n.broken.empty()) results() << fmt::format("{}{} broken:\n", front, n.broken.size());
    for (const data::BrokenFile& file : n.broken)
      results() << fmt::format("  {} {}\n", printable(file.name), printable(file.reason));
  }
  if (!all.report.duplicates.empty()) results() << fmt::format("{} images more than once:\n", all.report.duplicates.size());
  for (const data::DuplicateImages& duplicates : all.report.duplicates) {
    const std::string remark = all.remark(duplicates);
    results() << ' ';
    for (const auto& place : duplicates.files) results() << ' ' << printable(all.name(place));
    results() << (remark.empty() ? "" : " (" + remark + ")") << '\n';
  }
}

struct Flags {
  std::string path, root, broken = "error";
  bool json = false;
};

void run(const Flags& flags) {
  Inspected all{.parts = data::scan_images(flags.path, flags.root), .numbers = {}, .report = {}};
  all.report = data::inspect_images(all.parts);
  std::vector<data::ImageCounts> counts;
  for (std::size_t p = 0; p < all.parts.size(); ++p) {
    all.numbers.push_back(numbers_of(all.parts[p].scan, all.report.parts[p]));
    counts.push_back({.broken = all.numbers.back().broken, .by_class = all.numbers.back().counts});
  }
  if (flags.json) print_json(json_of(all, flags.path));
  else print(all);
  results().flush();
  train::check_image_sources({.data = flags.path, .dir = flags.root, .broken = flags.broken}, all.parts, counts);
}

}  // namespace

void add_inspect_data(CLI::App& inspect, int& exit_code) {
  CLI::App* command =
      inspect.add_subcommand("data", "Classes, sizes, duplicates and broken files of a folder or a list of images");
  const auto flags = std::make_shared<Flags>();
  command->add_option("path", flags->path, "As in heft train --data: a folder, or a CSV file of path,label")->required();
  command->add_option("--data-dir", flags->root, "Folder that the paths of a list are in [its own]");
  add_json_flag(*command, flags->json);
  command->add_option("--broken", flags->broken, "As in heft train: error, or skip")
      ->check(CLI::IsMember({"error", "skip"}))
      ->capture_default_str();
  add_threads_flag(*command, "Threads that decode [OMP_NUM_THREADS, or one per core]");
  command->footer(
      "Examples:\n  heft inspect data my_images\n  heft inspect data my_images --json | jq .duplicates\n\n"
      "Exit codes: 0 where heft train takes the images as they are, 3 where it does not, with its reason in the end.");
  command->callback([flags, &exit_code] {
    run(*flags);
    exit_code = kSuccess;
  });
}

}  // namespace heft::cli
