#include "data/image_scan.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <tuple>

#include "core/check.h"
#include "data/byte_source.h"
#include "data/csv.h"

namespace heft::data {

namespace {

namespace fs = std::filesystem;

constexpr const char* kFolderOp = "image_folder";
constexpr const char* kListOp = "image_list";
constexpr std::uint64_t kMostListBytes = 64u << 20;

fs::path canonical_root(const char* op, const fs::path& path) {
  std::error_code error;
  const fs::path root = fs::canonical(path, error);
  check<DataError>(!error && fs::is_directory(root, error), op, "expected a folder of images; there is none at {}",
                   path.string());
  return root;
}

std::string lower_case(std::string name) {
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return name;
}

// Where `path` leads, or why nowhere.
fs::path resolved(const fs::path& root, const fs::path& path, std::string& reason) {
  std::error_code error;
  fs::path target = fs::canonical(path, error);
  const bool link = fs::is_symlink(fs::symlink_status(path, error));
  if (target.empty()) reason = link ? "is a link that leads nowhere" : "does not exist";
  else if (!is_inside(root, target)) reason = "is a link that leads out of " + root.string();  // or lies behind one
  return target;
}

// Puts the file at `path` into the scan, or among what is broken.
void add_file(ImageScan& scan, const std::string& name, const fs::path& path, std::int64_t label) {
  std::string reason;
  ImageFile file{.name = name, .path = resolved(scan.root, path, reason), .label = label};
  std::error_code error;
  if (reason.empty() && !fs::is_regular_file(file.path, error))
    reason = !fs::is_directory(file.path, error) ? "is no file"
             : fs::is_symlink(path)              ? "is a link to a folder"
                                                 : "is a folder";
  if (reason.empty()) {
    file.bytes = fs::file_size(file.path, error);
    if (!error) file.changed = static_cast<std::int64_t>(fs::last_write_time(file.path, error).time_since_epoch().count());
    if (error) reason = "cannot be asked for its size: " + error.message();
  }
  if (reason.empty()) scan.files.push_back(std::move(file));
  else scan.broken.push_back({name, reason});
}

// What systems leave in folders by themselves.
bool is_litter(const std::string& name) {
  return name.starts_with('.') || name == "__MACOSX" || name == "Thumbs.db" || name == "desktop.ini";
}

// What is in a folder, but litter, in the order of the names.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (!is_litter(it->path().filename().string())) entries.push_back(it->path());
  check<DataError>(!error, kFolderOp, "expected to read the folder {}; the system says: {}", folder.string(), error.message());
  std::sort(entries.begin(), entries.end(), [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  return entries;
}

void add_class(ImageScan& scan, const std::string& name, const fs::path& folder, std::int64_t label) {
  for (const fs::path& entry : entries_of(folder)) {
    const std::string inner = name + '/' + entry.filename().string();
    std::error_code error;
    // A link to a folder is not followed: it could lead in a circle.
    if (fs::is_directory(fs::symlink_status(entry, error))) add_class(scan, inner, entry, label);
    else add_file(scan, inner, entry, label);
  }
}

std::optional<std::int64_t> whole_number(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string> ordered(const std::set<std::string>& labels) {
  std::vector<std::string> names(labels.begin(), labels.end());
  if (!std::all_of(names.begin(), names.end(), [](const std::string& name) { return whole_number(name).has_value(); }))
    return names;
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {  // "1" and "01" are two
    return std::tuple(*whole_number(a), a) < std::tuple(*whole_number(b), b);
  });
  return names;
}

}  // namespace

bool is_inside(const fs::path& root, const fs::path& path) {
  return std::mismatch(root.begin(), root.end(), path.begin(), path.end()).first == root.end();
}

ImageScan scan_image_folder(const fs::path& folder, const fs::path& root) {
  ImageScan scan;
  scan.root = canonical_root(kFolderOp, root.empty() ? folder : root);
  scan.source = canonical_root(kFolderOp, folder);
  check<DataError>(is_inside(scan.root, scan.source), kFolderOp,
                   "expected a folder within {}; {} is a link that leads out of it", scan.root.string(), folder.string());
  for (const fs::path& entry : entries_of(scan.source)) {
    const std::string name = entry.filename().string();
    std::error_code error;
    if (!fs::is_directory(entry, error)) continue;
    std::string reason;
    const fs::path target = resolved(scan.root, entry, reason);
    if (!reason.empty()) {
      scan.broken.push_back({name, reason});
      continue;
    }
    add_class(scan, name, target, static_cast<std::int64_t>(scan.class_names.size()));
    scan.class_names.push_back(name);
  }
  return scan;
}

ImageScan scan_image_list(const fs::path& list, const fs::path& root) {
  const fs::path beside = list.has_parent_path() ? list.parent_path() : fs::path(".");
  ByteSource source(kListOp, list);
  ImageScan scan;
  scan.root = canonical_root(kListOp, root.empty() ? beside : root);
  scan.source = fs::canonical(list);
  const std::uint64_t bytes = source.remaining(kMostListBytes + 1);
  check<DataError>(bytes <= kMostListBytes, kListOp, "expected a list of at most {} MB; {} is larger", kMostListBytes >> 20,
                   source.name());
  std::string text(static_cast<std::size_t>(bytes), '\0');
  source.read(text.data(), bytes);

  std::set<std::string> labels;
  parse_csv(kListOp, text, source.name(), [&](std::size_t line, const std::vector<std::string>& fields) {
    check<DataError>(fields.size() == 2, kListOp, "expected path,label in {}:{}; got {} fields", source.name(), line,
                     fields.size());
    if (line == 1 && fields[0] == "path" && fields[1] == "label") return;
    for (const std::string& field : fields)
      check<DataError>(!field.empty(), kListOp, "expected path,label in {}:{}; got an empty one", source.name(), line);
    const fs::path path(fields[0]);
    check<DataError>(path.is_relative() && std::find(path.begin(), path.end(), "..") == path.end(), kListOp,
                     "expected a path within {} in {}:{}; got {}", scan.root.string(), source.name(), line, fields[0]);
    labels.insert(fields[1]);
  });
  scan.class_names = ordered(labels);
  std::map<std::string, std::int64_t> label_of;
  for (const std::string& name : scan.class_names) label_of.emplace(name, static_cast<std::int64_t>(label_of.size()));
  parse_csv(kListOp, text, source.name(), [&](std::size_t line, const std::vector<std::string>& fields) {
    if (line == 1 && fields[0] == "path" && fields[1] == "label") return;
    add_file(scan, fields[0], scan.root / fields[0], label_of.at(fields[1]));
  });
  return scan;
}

std::vector<ImagePart> scan_images(const fs::path& path, const fs::path& root) {
  std::error_code error;
  if (fs::is_regular_file(path, error)) return {{"", scan_image_list(path, root)}};
  const std::map<std::string, std::string> known{
      {"train", "train"}, {"val", "val"}, {"valid", "val"}, {"validation", "val"}, {"test", "test"}};
  std::map<std::string, fs::path> parts;
  std::string other, again;  // folders that are no part, or one that there is already
  for (const fs::path& entry : entries_of(canonical_root(kFolderOp, path))) {
    if (!fs::is_directory(entry, error)) continue;
    const std::string name = entry.filename().string();
    const auto part = known.find(lower_case(name));
    if (part == known.end()) other = name;
    else if (!parts.emplace(part->second, entry).second) again = name;
  }
  const bool with_train = parts.count("train") > 0;
  // Classes, one of which may be called train.
  if (!other.empty() && (!with_train || parts.size() == 1)) return {{"", scan_image_folder(path)}};
  check<DataError>(other.empty(), kFolderOp,
                   "expected no other folder beside those of train, val and test in {}, which would all be classes with it; "
                   "got {}",
                   path.string(), other);
  check<DataError>(again.empty(), kFolderOp,
                   "expected one folder each of train, val (valid, validation) and test in {}; got {} too", path.string(),
                   again);
  if (!with_train) return {{"", scan_image_folder(path)}};
  std::vector<ImagePart> scans;
  for (const char* name : {"train", "val", "test"})
    if (parts.count(name) > 0) scans.push_back({name, scan_image_folder(parts[name], path)});
  return scans;
}

}  // namespace heft::data
