#include "data/image_folder.h"

#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "core/error.h"
#include "data/image_cache.h"
#include "data/loader.h"
#include "data/resize.h"
#include "tests/catch_compat.h"
#include "tests/data/image_files.h"

using heft::DataError;
using heft::Shape;
using heft::Tensor;
using heft::ValueError;
using heft::data::BrokenFile;
using heft::data::DatasetPtr;
using heft::data::image_folder;
using heft::data::image_list;
using heft::data::ImageCaching;
using heft::data::ImageFolder;
using heft::data::ImageFolderOptions;
using heft::data::ImageScan;
using heft::data::load_images;
using heft::data::scan_image_folder;
using heft::data::scan_image_list;
using heft::data::WhenBroken;
using heft::test::contains;
using heft::test::golden_image;
using heft::test::message_of;
using heft::test::plain_png;
using heft::test::TemporaryDirectory;
using Labels = std::vector<std::int64_t>;
using Names = std::vector<std::string>;
namespace fs = std::filesystem;

namespace {

// Writes a file and the folders that lead to it.
std::string put(const TemporaryDirectory& dir, const std::string& name, const std::string& bytes) {
  fs::create_directories(fs::path(dir.file(name)).parent_path());
  return dir.write(name, bytes);
}

// Two classes of plain grey: cat 1, 2, 3, dog 101, 102.
void put_animals(const TemporaryDirectory& dir, const std::string& folder = "") {
  for (const int grey : {1, 2, 3}) put(dir, folder + "cat/" + std::to_string(grey) + ".png", plain_png(5, 4, {grey}));
  for (const int grey : {101, 102}) put(dir, folder + "dog/" + std::to_string(grey) + ".png", plain_png(3, 9, {grey}));
}

Names names_of(const ImageScan& scan) {
  Names names;
  for (const auto& file : scan.files) names.push_back(file.name);
  return names;
}

std::vector<int> greys(const DatasetPtr& dataset) {
  std::vector<int> out;
  for (std::int64_t i = 0; i < dataset->size(); ++i) {
    const std::vector<float> pixels = dataset->get(i).image.to_vector<float>();
    out.push_back(static_cast<int>(pixels[0] * 255 + 0.5f));
  }
  return out;
}

std::string reason(const std::vector<BrokenFile>& broken, const std::string& name) {
  for (const BrokenFile& file : broken)
    if (file.name == name) return file.reason;
  return "it is not broken";
}

template <class... Args>
std::string refusal(const Args&... args) {
  return message_of<DataError>([&] { image_folder(args...); });
}

std::vector<std::int64_t> files_in_cache(const TemporaryDirectory& cache) {
  std::vector<std::int64_t> changed;
  for (const auto& entry : fs::directory_iterator(cache.path()))
    changed.push_back(static_cast<std::int64_t>(entry.last_write_time().time_since_epoch().count()));
  return changed;
}

}  // namespace

TEST_CASE("image folder: sub-folders are classes, files are in the order of their names", "[data][images]") {
  const TemporaryDirectory dir;
  put_animals(dir);
  put(dir, "cat/deep/er/0.png", plain_png(2, 2, {7}));
  put(dir, "cat/.hidden.png", "not an image");
  put(dir, ".git/config", "hidden");
  put(dir, "__MACOSX/cat/._1.png", "of an archive");
  put(dir, "dog/Thumbs.db", "of Windows");
  put(dir, "README.txt", "beside the classes");
  const ImageScan scan = scan_image_folder(dir.path());
  CHECK(scan.class_names == Names{"cat", "dog"});
  CHECK(names_of(scan) == Names{"cat/1.png", "cat/2.png", "cat/3.png", "cat/deep/er/0.png", "dog/101.png", "dog/102.png"});
  CHECK(scan.broken.empty());
  for (const ImageCaching cache : {ImageCaching::none, ImageCaching::memory}) {
    const DatasetPtr images = image_folder(dir.path(), {.size = 6, .cache = cache, .threads = 3});
    CHECK(images->size() == 6);
    CHECK(images->classes() == 2);
    CHECK(images->class_names() == Names{"cat", "dog"});
    CHECK(images->labels() == Labels{0, 0, 0, 0, 1, 1});
    CHECK(images->indices() == Labels{0, 1, 2, 3, 4, 5});
    CHECK(greys(images) == std::vector<int>{1, 2, 3, 7, 101, 102});
    CHECK(images->get(0).image.shape() == Shape{1, 6, 6});
    CHECK_THROWS_AS(images->get(6), heft::ShapeError);
    const std::int64_t some[] = {4, 1, 4};
    const heft::data::Batch batch = images->get_batch(some);
    CHECK(batch.labels.to_vector<std::int64_t>() == Labels{1, 0, 1});
    CHECK(batch.indices.to_vector<std::int64_t>() == Labels{4, 1, 4});
    CHECK(batch.images.shape() == Shape{3, 1, 6, 6});
    CHECK(batch.images.select(0, 1).to_vector<float>() == images->get(1).image.to_vector<float>());
  }
}

TEST_CASE("image folder: an image is its middle, resized", "[data][images]") {
  const TemporaryDirectory dir;
  const std::string jpeg = golden_image("jpeg_420");  // 19 x 13
  put(dir, "a/1.jpg", jpeg);
  put(dir, "b/1.png", plain_png(2, 2, {50}));
  const Tensor whole = heft::data::decode_image(heft::test::as_bytes(jpeg), {}, "it");
  const Tensor expected = heft::data::resize(whole, 8, 8, heft::data::Box{0, 3, 13, 13});
  const DatasetPtr colour = image_folder(dir.path(), {.size = 8});
  REQUIRE(colour->get(0).image.shape() == Shape{3, 8, 8});
  const std::vector<float> pixels = colour->get(0).image.to_vector<float>();
  const std::vector<int> bytes = expected.to_vector<int>();
  for (std::size_t i = 0; i < bytes.size(); ++i) CHECK(pixels[i] == static_cast<float>(bytes[i]) / 255.0f);
  CHECK(colour->get(1).image.to_vector<float>() == std::vector<float>(3 * 64, 50 / 255.0f));  // a grey one among them
  CHECK(image_folder(dir.path(), {.size = 8, .channels = 1})->get(0).image.shape() == Shape{1, 8, 8});
}

TEST_CASE("image folder: broken and foreign files are named, or skipped and counted", "[data][images]") {
  const TemporaryDirectory dir, outside;
  put_animals(dir);
  const std::string gif = heft::test::from_hex(heft::test::golden_images()["gif"]);
  const std::string jpeg = golden_image("jpeg_420");
  put(dir, "cat/animation.gif", gif);
  put(dir, "cat/called.jpg", gif);
  put(dir, "dog/half.jpg", jpeg.substr(0, jpeg.size() / 2));
  put(dir, "dog/notes.txt", "some words");
  put(dir, "dog/huge.png", heft::test::png_header(0x7fffffff, 0x7fffffff, 8, 2) + heft::test::png_chunk("IEND", ""));
  put(outside, "secret.png", plain_png(2, 2, {66}));
  fs::create_symlink(outside.file("secret.png"), dir.file("dog/link.png"));
  fs::create_symlink("nowhere.png", dir.file("dog/dangling.png"));
  fs::create_symlink("../cat", dir.file("dog/folder"));
  fs::create_symlink("../cat/2.png", dir.file("dog/inside.png"));
  fs::create_symlink(outside.path(), dir.file("elsewhere"));
  REQUIRE(mkfifo(dir.file("dog/pipe.png").c_str(), 0600) == 0);
  const std::string message = refusal(dir.path());
  const std::string root = fs::canonical(dir.path()).string();
  CHECK(contains(message,
                 "[image_folder] expected every file in " + root + " to be an image that can be read; 10 of 16 are not: "));
  CHECK(contains(message, "; ..."));
  for (const ImageCaching cache : {ImageCaching::none, ImageCaching::memory, ImageCaching::file}) {
    const TemporaryDirectory cached;
    for (int run = 0; run < (cache == ImageCaching::file ? 2 : 1); ++run) {
      const ImageFolder images =
          load_images(scan_image_folder(dir.path()),
                      {.size = 4, .broken = WhenBroken::skip, .cache = cache, .cache_folder = cached.path(), .threads = 2});
      CHECK(greys(images.dataset) == std::vector<int>{1, 2, 3, 101, 102, 2});
      CHECK(images.dataset->labels() == Labels{0, 0, 0, 1, 1, 1});
      CHECK(images.dataset->class_names() == Names{"cat", "dog"});
      CHECK(images.skipped.size() == 10);
      CHECK(reason(images.skipped, "cat/animation.gif") == "is a GIF");
      CHECK(reason(images.skipped, "cat/called.jpg") == "is a GIF");
      CHECK(reason(images.skipped, "dog/half.jpg") == "is truncated");
      CHECK(reason(images.skipped, "dog/notes.txt") == "is a text");
      CHECK(contains(reason(images.skipped, "dog/huge.png"), "says it has 2147483647 x 2147483647"));
      CHECK(reason(images.skipped, "dog/link.png") == "is a link that leads out of " + root);
      CHECK(reason(images.skipped, "elsewhere") == "is a link that leads out of " + root);
      CHECK(reason(images.skipped, "dog/dangling.png") == "is a link that leads nowhere");
      CHECK(reason(images.skipped, "dog/folder") == "is a link to a folder");
      CHECK(reason(images.skipped, "dog/pipe.png") == "is no file");
    }
  }
}

TEST_CASE("image folder: links may lead through the whole root, a class may be one", "[data][images]") {
  const TemporaryDirectory dir;
  put_animals(dir, "all/");
  fs::create_directories(dir.file("train"));
  fs::create_symlink("../all/dog", dir.file("train/dog"));
  put(dir, "train/cat/1.png", plain_png(2, 2, {9}));
  fs::create_symlink("../../all/cat/3.png", dir.file("train/cat/2.png"));
  CHECK(greys(load_images(scan_image_folder(dir.file("train"), dir.path())).dataset) == std::vector<int>{9, 3, 101, 102});
  CHECK(contains(refusal(dir.file("train")), "leads out of "));
}

TEST_CASE("image folder: a class without images, one class, other classes", "[data][images]") {
  const TemporaryDirectory dir;
  put_animals(dir);
  fs::create_directories(dir.file("emu"));
  const std::string root = fs::canonical(dir.path()).string();
  CHECK(refusal(dir.path()) == "[image_folder] expected images of every class in " + root + "; emu has none that can be read");
  put(dir, "emu/x.jpg", "text");
  CHECK(contains(refusal(dir.path()), "1 of 6 are not: emu/x.jpg is a text"));
  CHECK(contains(refusal(dir.path(), ImageFolderOptions{.broken = WhenBroken::skip}), "emu has none that can be read"));
  fs::remove_all(dir.file("emu"));
  CHECK_NOTHROW(image_folder(dir.path(), {.class_names = {"cat", "dog"}}));
  CHECK(contains(refusal(dir.path(), ImageFolderOptions{.class_names = {"cat", "cow"}}),
                 "expected the classes cat, cow in " + root + "; got cat, dog"));
  fs::remove_all(dir.file("dog"));
  CHECK(contains(refusal(dir.path()), "two classes or more in " + root + "; got those of cat alone"));
  CHECK(contains(refusal(dir.file("cat")), "got none, there is no sub-folder"));
  CHECK(contains(refusal(dir.file("cow")), "expected a folder of images; there is none at " + dir.file("cow")));
  CHECK(contains(refusal(dir.file("cat/1.png")), "there is none at"));
  const auto option = [&](const ImageFolderOptions& options) {
    return message_of<ValueError>([&] { image_folder(dir.path(), options); });
  };
  CHECK(contains(option({.size = 0}), "expected size in [1, 16384]; got 0"));
  CHECK(contains(option({.channels = 2}), "channels 1 or 3"));
  CHECK(contains(option({.threads = -1}), "threads >= 0; got -1"));
}

TEST_CASE("image folder: without a cache, a file that breaks later is an error where it is fetched", "[data][images]") {
  const TemporaryDirectory dir;
  put_animals(dir);
  const DatasetPtr images = image_folder(dir.path(), {.cache = ImageCaching::none});
  dir.write("cat/2.png", "gone");
  heft::data::Loader loader(images, {.batch_size = 1, .workers = 2});
  const std::string message = message_of<DataError>([&] {
    for (const heft::data::Batch& batch : loader) CHECK(batch.indices.item<int>() != 1);
  });
  CHECK(contains(message, "expected a PNG or JPEG image; "));
  CHECK(contains(message, "cat/2.png is a text"));
}

TEST_CASE("image folder: the same batches by any number of workers, cached or not", "[data][images][loader]") {
  const TemporaryDirectory dir;
  put_animals(dir);
  put(dir, "cat/4.jpg", golden_image("jpeg_420"));
  const auto all = [&](ImageCaching cache, int workers, int threads) {
    const TemporaryDirectory cached;
    const DatasetPtr images =
        image_folder(dir.path(), {.size = 7, .cache = cache, .cache_folder = cached.path(), .threads = threads});
    heft::data::Loader loader(images, {.batch_size = 2, .shuffle = true, .workers = workers});
    std::vector<float> out;
    for (const heft::data::Batch& batch : loader) {
      const std::vector<float> pixels = batch.images.to_vector<float>();
      out.insert(out.end(), pixels.begin(), pixels.end());
    }
    return out;
  };
  const std::vector<float> first = all(ImageCaching::memory, 0, 1);
  for (const ImageCaching cache : {ImageCaching::none, ImageCaching::memory, ImageCaching::file})
    for (const int workers : {0, 3}) CHECK(all(cache, workers, 4) == first);
}

TEST_CASE("image cache: used again, and made anew when a file or an option is another", "[data][images]") {
  const TemporaryDirectory dir, cache;
  put_animals(dir);
  const auto load = [&](std::int64_t size = 5) {
    return greys(
        image_folder(dir.path(), {.size = size, .cache = ImageCaching::file, .cache_folder = cache.file("new/folder")}));
  };
  const auto file = [&] { return fs::directory_iterator(cache.file("new/folder"))->path(); };
  const auto inode = [&] {
    struct stat status {};
    REQUIRE(stat(file().c_str(), &status) == 0);
    return status.st_ino;
  };
  CHECK(load() == std::vector<int>{1, 2, 3, 101, 102});
  const auto first = inode();
  // Neither another size nor another time: what is read now comes from the cache.
  const auto time = fs::last_write_time(dir.file("cat/2.png"));
  const auto size = fs::file_size(dir.file("cat/2.png"));
  dir.write("cat/2.png", plain_png(5, 4, {9}));
  REQUIRE(fs::file_size(dir.file("cat/2.png")) == size);
  fs::last_write_time(dir.file("cat/2.png"), time);
  CHECK(load() == std::vector<int>{1, 2, 3, 101, 102});
  CHECK(inode() == first);
  // The same size, another time.
  dir.write("cat/2.png", plain_png(5, 4, {4}));
  fs::last_write_time(dir.file("cat/2.png"), time + std::chrono::seconds(1));
  CHECK(load() == std::vector<int>{1, 4, 3, 101, 102});
  // The same time, another size.
  const auto then = fs::last_write_time(dir.file("cat/2.png"));
  dir.write("cat/2.png", plain_png(50, 40, {6}));
  fs::last_write_time(dir.file("cat/2.png"), then);
  CHECK(load() == std::vector<int>{1, 6, 3, 101, 102});
  put(dir, "dog/103.png", plain_png(1, 1, {103}));
  CHECK(load() == std::vector<int>{1, 6, 3, 101, 102, 103});
  fs::remove(dir.file("cat/1.png"));
  CHECK(load() == std::vector<int>{6, 3, 101, 102, 103});
  CHECK(std::distance(fs::directory_iterator(cache.file("new/folder")), {}) == 1);
  CHECK(load(9) == std::vector<int>{6, 3, 101, 102, 103});
  CHECK(std::distance(fs::directory_iterator(cache.file("new/folder")), {}) == 2);
}

TEST_CASE("image cache: a file that is not a whole cache, or a damaged one, is made anew", "[data][images]") {
  const TemporaryDirectory dir, cache;
  put_animals(dir);
  const auto load = [&] {
    return greys(image_folder(dir.path(), {.size = 3, .cache = ImageCaching::file, .cache_folder = cache.path()}));
  };
  const std::vector<int> expected{1, 2, 3, 101, 102};
  REQUIRE(load() == expected);
  const std::string path = fs::directory_iterator(cache.path())->path().string();
  std::ifstream stream(path, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(stream)), {});
  for (const std::size_t size : {std::size_t{0}, std::size_t{10}, std::size_t{50}, whole.size() - 1}) {
    std::ofstream(path, std::ios::binary) << whole.substr(0, size);
    CHECK(load() == expected);
  }
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string other = whole;
    other[at] ^= 1;
    std::ofstream(path, std::ios::binary) << other;
    CHECK(load() == expected);
  }
  fs::remove(path);
  fs::create_directories(path);
  CHECK(contains(message_of<DataError>(load), "expected to write the cache " + path + "; the system says: "));
  CHECK(files_in_cache(cache).size() == 1);  // no temporary file is left
  const std::string blocked = dir.file("cat/1.png");
  CHECK(contains(refusal(dir.path(), ImageFolderOptions{.cache = ImageCaching::file, .cache_folder = blocked + "/x"}),
                 "[image_cache] expected to write the cache " + blocked));
}

TEST_CASE("image cache: where the XDG specification puts it", "[data][images]") {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  const std::string cache = variable("XDG_CACHE_HOME"), home = variable("HOME");
  setenv("XDG_CACHE_HOME", "/somewhere", 1);
  CHECK(heft::data::default_cache_folder() == "/somewhere/heft");
  setenv("XDG_CACHE_HOME", "", 1);
  setenv("HOME", "/home/me", 1);
  CHECK(heft::data::default_cache_folder() == "/home/me/.cache/heft");
  unsetenv("XDG_CACHE_HOME");
  unsetenv("HOME");
  CHECK(contains(message_of<DataError>([] { heft::data::default_cache_folder(); }), "XDG_CACHE_HOME or HOME"));
  if (!cache.empty()) setenv("XDG_CACHE_HOME", cache.c_str(), 1);
  if (!home.empty()) setenv("HOME", home.c_str(), 1);
}

TEST_CASE("image list: paths and labels from a CSV file", "[data][images]") {
  const TemporaryDirectory dir;
  put_animals(dir, "all/");
  const std::string list =
      dir.write("list.csv", "path,label\nall/dog/101.png,dog\nall/cat/2.png,\"cat, small\"\nall/cat/1.png,dog\n");
  const DatasetPtr images = image_list(list, {.size = 2});
  CHECK(images->class_names() == Names{"cat, small", "dog"});
  CHECK(images->labels() == Labels{1, 0, 1});
  CHECK(greys(images) == std::vector<int>{101, 2, 1});
  CHECK(scan_image_list(dir.write("n.csv", "all/cat/1.png,10\nall/cat/2.png,9\n")).class_names == Names{"9", "10"});
  CHECK(scan_image_list(dir.write("m.csv", "all/cat/1.png,10\nall/cat/2.png,x\n")).class_names == Names{"10", "x"});
  dir.write("all/list.csv", "cat/1.png,a\n");
  CHECK(names_of(scan_image_list(dir.file("all/list.csv"))) == Names{"cat/1.png"});
  dir.write("other.csv", "cat/1.png,a\n");
  CHECK(names_of(scan_image_list(dir.file("other.csv"), dir.file("all"))) == Names{"cat/1.png"});
}

TEST_CASE("image list: what is wrong with it is named with its line", "[data][images]") {
  const TemporaryDirectory dir, outside;
  put_animals(dir);
  put(outside, "secret.png", plain_png(2, 2, {66}));
  const auto refused = [&](const std::string& text) {
    return message_of<DataError>([&] { scan_image_list(dir.write("list.csv", text)); });
  };
  CHECK(contains(refused("cat/1.png,a\ncat/1.png\n"), "expected path,label in " + dir.file("list.csv") + ":2; got 1 fields"));
  CHECK(contains(refused("cat/1.png,a,b\n"), "got 3 fields"));
  CHECK(contains(refused("cat/1.png,\n"), ":1; got an empty one"));
  CHECK(contains(refused("cat/1.png,a\n" + outside.file("secret.png") + ",a\n"),
                 "list.csv:2; got " + outside.file("secret.png")));
  CHECK(contains(refused("cat/../../secret.png,a\n"), "got cat/../../secret.png"));
  CHECK(contains(refused("\"cat/1.png,a\n"), "closing quotation mark"));
  CHECK(contains(message_of<DataError>([&] { scan_image_list(dir.file("none.csv")); }),
                 "there is none at " + dir.file("none.csv")));
  fs::create_symlink(outside.path(), dir.file("out"));
  const ImageScan scan = scan_image_list(dir.write("list.csv", "cat/1.png,a\nout/secret.png,b\ncat/9.png,b\ncat,b\n"));
  CHECK(contains(reason(scan.broken, "out/secret.png"), "leads out of"));
  CHECK(reason(scan.broken, "cat/9.png") == "does not exist");
  CHECK(reason(scan.broken, "cat") == "is a folder");
  CHECK(contains(message_of<DataError>([&] { image_list(dir.file("list.csv")); }), "3 of 4 are not: out/secret.png is a link"));
  dir.write("list.csv", "path,label\n");
  CHECK(contains(message_of<DataError>([&] { image_list(dir.file("list.csv")); }), "got none, it names no image"));
}
