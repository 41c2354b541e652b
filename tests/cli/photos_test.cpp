// From a folder of images to a model that is used, with what such folders have in them: sizes, shapes and formats mixed, photos
// taken sideways, and files that are no images.
#ifdef HEFT_CLI_PATH

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "core/random.h"
#include "tests/catch_compat.h"
#include "tests/cli/killed.h"
#include "tests/cli/program.h"
#include "tests/data/image_files.h"
#include "tests/data/jpeg_file.h"
#include "tests/train/onnx_reader.h"

using heft::RandomSequence;
using heft::test::contains;
using heft::test::from_hex;
using heft::test::golden_images;
using heft::test::heft_command;
using heft::test::jpeg_bytes;
using heft::test::png_bytes;
using heft::test::png_chunk;
using heft::test::png_header;
using heft::test::read_text;
using heft::test::Result;
using heft::test::TemporaryDirectory;
using nlohmann::json;

namespace {

namespace fs = std::filesystem;

struct Picture {
  int width, height, channels;
  std::string samples;
};

// Rings around a point, or stripes, of any colours, with noise.
Picture picture_of(bool rings, RandomSequence& random) {
  const auto from = [&](double low, double high) { return low + (high - low) * random.uniform(); };
  Picture picture{.width = static_cast<int>(from(20, 120)),
                  .height = static_cast<int>(from(20, 120)),
                  .channels = random.uniform() < 0.2 ? 1 : 3,
                  .samples = {}};
  const double period = std::min(picture.width, picture.height) / from(2.5, 3.5), angle = from(0, 3.1416),
               phase = from(0, 6.28);
  const double x0 = from(0.4, 0.6) * picture.width, y0 = from(0.4, 0.6) * picture.height;
  const double low[] = {from(0, 90), from(0, 90), from(0, 90)}, high[] = {from(160, 255), from(160, 255), from(160, 255)};
  for (int y = 0; y < picture.height; ++y)
    for (int x = 0; x < picture.width; ++x) {
      const double along = rings ? std::hypot(x - x0, y - y0) : (x - x0) * std::cos(angle) + (y - y0) * std::sin(angle);
      const double share = 0.5 + 0.5 * std::sin(6.2832 * along / period + (rings ? 0 : phase));
      for (int c = 0; c < picture.channels; ++c)
        picture.samples.push_back(
            static_cast<char>(std::clamp(static_cast<int>(low[c] + (high[c] - low[c]) * share + from(-20, 20)), 0, 255)));
    }
  return picture;
}

// 160 images of each class to train on, 40 to validate and 10 that are in neither part; every other one is a JPEG.
struct Photos {
  TemporaryDirectory folder;
  Photos() {
    RandomSequence random({.seed = 3});
    for (const auto& [part, count] : {std::pair{"photos/train/", 160}, std::pair{"photos/val/", 40}, std::pair{"new/", 10}})
      for (const bool rings : {true, false})
        for (int i = 0; i < count; ++i) {
          const std::string place = std::string(part) + (rings ? "rings/" : "stripes/");
          fs::create_directories(folder.file(place));
          const Picture p = picture_of(rings, random);
          if (i % 2 == 0)
            folder.write(place + std::to_string(i) + ".jpg", jpeg_bytes(p.width, p.height, p.channels, p.samples));
          else
            folder.write(
                place + std::to_string(i) + ".png",
                png_bytes(static_cast<std::uint32_t>(p.width), static_cast<std::uint32_t>(p.height), p.channels, p.samples));
        }
    folder.write("photos/train/rings/moving.gif", from_hex(golden_images()["gif"]));
    const std::string jpeg = read_text(folder.file("photos/train/rings/0.jpg"));
    folder.write("photos/train/rings/cut.jpg", jpeg.substr(0, jpeg.size() / 2));
    folder.write("photos/train/stripes/notes.txt", "Taken in spring.\n");
    folder.write("photos/val/stripes/huge.png",
                 png_header(2000000000, 2000000000, 8, 2) + png_chunk("IDAT", "") + png_chunk("IEND", ""));
  }
  Result heft(const std::string& arguments) const {
    return heft_command(folder, arguments, "XDG_CACHE_HOME='" + folder.file("cache") + "' ");
  }
  std::string train(const std::string& run) const {
    return "train --data " + folder.file("photos") +
           " --model lenet5 --image-size 24 --augment resized-crop-flip-jitter --broken skip --epochs 6 --lr 0.05 --batch-size "
           "32 "
           "--optimizer absgd --threads 1 --checkpoint-every 3 --out " +
           folder.file(run);
  }
};

}  // namespace

TEST_CASE("heft: a folder of images is inspected, trains, survives kill -9, and is evaluated, exported and predicted with",
          "[cli][images][resume]") {
  const Photos photos;
  const Result found = photos.heft("inspect data " + photos.folder.file("photos") + " --json --threads 1");
  REQUIRE(found.exit_code == 3);  // as heft train, below
  const json parts = json::parse(found.out)["parts"];
  CHECK(parts[0]["images"] == 320);
  CHECK(parts[0]["broken"].size() == 3);
  CHECK(parts[1]["broken"].size() == 1);

  const std::string run = photos.folder.file("run"), killed = photos.folder.file("killed");
  std::string careful = photos.train("run");
  careful.replace(careful.find("--broken skip"), 13, "--broken error");
  const Result refused = photos.heft(careful);
  CHECK(refused.exit_code == 3);
  for (const char* defect :
       {"3 of 323 are not", "rings/moving.gif is a GIF", "rings/cut.jpg is truncated", "stripes/notes.txt is a text"})
    CHECK(contains(refused.err, defect));
  CHECK_FALSE(fs::exists(run));

  const Result trained = photos.heft(photos.train("run"));
  INFO(trained.err);
  REQUIRE(trained.exit_code == 0);
  CHECK(contains(trained.err, "heft: 4 files are skipped:\n"));
  CHECK(contains(trained.err, "val/stripes/huge.png says it has 2000000000 x 2000000000 x 3"));

  // Twice killed, once within an epoch at the least, and each time gone on with.
  std::string arguments = photos.train("killed");
  for (int kill = 0; kill < 2; ++kill) {
    heft::test::status_after(heft::test::start(arguments), killed + "/state.safetensors", SIGKILL, 4);
    arguments = "train --checkpoint-every 3 --resume " + killed;
  }
  const Result resumed = photos.heft(arguments);
  INFO(resumed.err);
  CHECK((resumed.exit_code == 0 || contains(resumed.err, "beyond the 6")));  // that one was faster than the second kill
  heft::test::check_same_run(killed, run);

  const json evaluation = json::parse(photos.heft("eval " + run + " --json --threads 1").out);
  CHECK(evaluation["samples"] == 80);
  CHECK(evaluation["accuracy"] == heft::test::metrics_of(run).back()["test_accuracy"]);
  CHECK(evaluation["accuracy"].get<double>() >= 0.85);

  REQUIRE(photos.heft("export " + run + " --to onnx").exit_code == 0);
  CHECK(heft::test::read_onnx(read_text(run + "/model.onnx")).output == "logits");

  std::string files;
  for (const char* name : {"rings", "stripes"})
    for (const auto& entry : fs::directory_iterator(photos.folder.file(std::string("new/") + name)))
      files += ' ' + entry.path().string();
  const Result predicted = photos.heft("predict " + run + files + " --json --threads 1");
  REQUIRE(predicted.exit_code == 0);
  std::istringstream lines(predicted.out);
  int right = 0, count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const json answer = json::parse(line);
    right += contains(answer["image"].get<std::string>(), '/' + answer["predictions"][0]["class"].get<std::string>() + '/');
  }
  CHECK(count == 20);
  CHECK(right >= 16);

  const Result some = photos.heft("predict " + run + files.substr(0, files.find(' ', 1)) + " " +
                                  photos.folder.file("photos/train/rings/moving.gif"));
  CHECK(some.exit_code == 3);
  CHECK(contains(some.err, "moving.gif is a GIF"));
  CHECK(contains(some.out, " %  rings\n"));
}

#endif
