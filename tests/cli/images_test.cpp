// heft train and heft inspect data on images in a folder.
#ifdef HEFT_CLI_PATH

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/catch_compat.h"
#include "tests/cli/program.h"
#include "tests/data/image_files.h"

using heft::test::contains;
using heft::test::golden_image;
using heft::test::heft_command;
using heft::test::plain_png;
using heft::test::read_text;
using heft::test::Result;
using heft::test::TemporaryDirectory;
using nlohmann::json;

namespace {

// 12 dark and 12 bright training images, 4 of each to test on; one of each is a JPEG.
struct Images {
  TemporaryDirectory folder;
  Images() {
    for (const auto& [part, count] : {std::pair{"train", 12}, std::pair{"val", 4}})
      for (const auto& [name, grey] : {std::pair{"bright", 200}, std::pair{"dark", 20}})
        for (int i = 0; i < count; ++i) put(part, name, std::to_string(i) + ".png", plain_png(9, 8, {grey + i, grey, grey}));
    put("train", "dark", "a.jpg", golden_image("jpeg_420"));
  }
  std::string path() const { return folder.file("images"); }
  void put(const std::string& part, const std::string& label, const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories(path() + "/" + part + "/" + label);
    folder.write("images/" + part + "/" + label + "/" + name, bytes);
  }
  std::string train(const std::string& out) const {
    return "train --data '" + path() + "' --image-size 12 --model mlp --epochs 2 --batch-size 8 --threads 1 --out '" +
           folder.file(out) + "' ";
  }
};

}  // namespace

TEST_CASE("heft train: a folder of images", "[cli][images]") {
  const Images images;
  const std::string cache = "XDG_CACHE_HOME='" + images.folder.file("cache") + "' ";
  const Result result = heft_command(images.folder, images.train("run") + "--cache file --augment resized-crop-flip", cache);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(contains(result.out, "\ndark" + std::string(26, ' ') + "13"));
  CHECK_FALSE(contains(result.err, "skipped"));
  const json config = json::parse(read_text(images.folder.file("run/config.json")));
  CHECK(config["data"]["data"] == images.path());
  CHECK(config["data"]["image_size"] == 12);
  CHECK(config["data"]["cache"] == "file");
  CHECK(std::distance(std::filesystem::directory_iterator(images.folder.file("cache/heft")), {}) == 2);

  for (const char* among : {"images", "images/train/new", "images/../images/runs/latest"}) {
    const Result within = heft_command(images.folder, images.train(among));
    CHECK(within.exit_code == 2);
    CHECK(contains(within.err, "expected a folder for the results (--out) that is not among the images in " + images.path()));
    CHECK_FALSE(std::filesystem::exists(images.path() + "/train/new"));
  }
  CHECK(heft_command(images.folder, images.train("images2")).exit_code == 0);
  const std::string sweep =
      "sweep --lambda 1 --data '" + images.path() + "' --image-size 12 --out '" + images.path() + "/runs'";
  const Result within = heft_command(images.folder, sweep);
  CHECK(within.exit_code == 2);
  CHECK(contains(within.err, "expected a folder for the results (--out) that is not among the images in " + images.path()));
  CHECK_FALSE(std::filesystem::exists(images.path() + "/runs"));
  // From among them, where nothing of the path is there yet.
  for (const std::string command : {"train --epochs 1", "train --epochs 1 --out new/run", "sweep --lambda 1"}) {
    const Result here =
        heft_command(images.folder, command + " --data . --image-size 12 --model mlp", "cd '" + images.path() + "' && ");
    CHECK(here.exit_code == 2);
    CHECK(contains(here.err, "expected a folder for the results (--out) that is not among the images in "));
    for (const char* folder : {"/runs", "/new"}) CHECK_FALSE(std::filesystem::exists(images.path() + folder));
  }

  images.put("train", "dark", "story.txt", "Once upon a time");
  const Result broken = heft_command(images.folder, images.train("other"));
  CHECK(broken.exit_code == 3);
  CHECK(contains(broken.err, "1 of 26 are not: dark/story.txt is a text"));
  CHECK(contains(broken.err, "--broken skip"));
  CHECK_FALSE(std::filesystem::exists(images.folder.file("other")));
  const Result skipped = heft_command(images.folder, images.train("other") + "--broken skip --cache none");
  CHECK(skipped.exit_code == 0);
  CHECK(contains(skipped.err, "heft: 1 file is skipped:\n  train/dark/story.txt is a text\n"));
  CHECK(heft_command(images.folder, images.train("x") + "--cache everywhere").exit_code == 2);
}

TEST_CASE("heft train: a run knows where its images are from any folder, and may be told that they have moved",
          "[cli][images][resume]") {
  const Images images;
  const std::string into = "cd '" + images.folder.path() + "' && ", name = std::filesystem::path(images.path()).filename();
  const Result relative = heft_command(
      images.folder, "train --data " + name + " --image-size 12 --model mlp --epochs 1 --threads 1 --out run", into);
  INFO(relative.err);
  REQUIRE(relative.exit_code == 0);
  CHECK(json::parse(read_text(images.folder.file("run/config.json")))["data"]["data"] == images.path());
  CHECK(heft_command(images.folder, "train --epochs 2 --resume '" + images.folder.file("run") + "'", "cd / && ").exit_code ==
        0);
  std::filesystem::rename(images.path(), images.folder.file("elsewhere"));
  const std::string resume = "train --epochs 3 --resume '" + images.folder.file("run") + "'";
  CHECK(heft_command(images.folder, resume).exit_code != 0);
  const Result moved = heft_command(images.folder, resume + " --data '" + images.folder.file("elsewhere") + "'");
  INFO(moved.err);
  CHECK(moved.exit_code == 0);
}

TEST_CASE("heft train: the files of wrong labels and of first weights are found from any folder, too",
          "[cli][images][resume]") {
  const Images images;
  images.folder.write("labels", std::string(25, '\1'));
  const std::string into = "cd '" + images.folder.path() + "' && ";
  REQUIRE(heft_command(images.folder, images.train("first")).exit_code == 0);
  const Result begun =
      heft_command(images.folder, images.train("run") + "--noise file:labels --init first/model.safetensors", into);
  INFO(begun.err);
  REQUIRE(begun.exit_code == 0);
  const json config = json::parse(read_text(images.folder.file("run/config.json")));
  CHECK(config["data"]["noise"] == "file:" + images.folder.file("labels"));
  CHECK(config["init"] == images.folder.file("first/model.safetensors"));
  const Result resumed =
      heft_command(images.folder, "train --epochs 3 --resume '" + images.folder.file("run") + "'", "cd / && ");
  INFO(resumed.err);
  CHECK(resumed.exit_code == 0);
}

TEST_CASE("heft eval: the images of a run, at the size and with the channels of its model", "[cli][images]") {
  const Images images;
  REQUIRE(heft_command(images.folder, images.train("run")).exit_code == 0);
  const std::string eval = "eval '" + images.folder.file("run") + "' --threads 1 ";
  images.put("train", "dark", "story.txt", "Once upon a time");  // which the test set does not have
  images.put("val", "dark", "a.jpg", golden_image("jpeg_grey"));
  const Result alone = heft_command(images.folder, eval + "--json");
  INFO(alone.err);
  REQUIRE(alone.exit_code == 0);
  CHECK(json::parse(alone.out)["samples"] == 9);
  CHECK(json::parse(alone.out)["classes"][1]["samples"] == 5);
  const Result train = heft_command(images.folder, eval + "--split train");
  CHECK(train.exit_code == 3);
  CHECK(contains(train.err, "dark/story.txt is a text"));
  const Result skipping = heft_command(images.folder, eval + "--split train --broken skip");
  CHECK(skipping.exit_code == 0);
  CHECK(contains(skipping.err, "heft: 1 file is skipped:\n"));
  CHECK(contains(skipping.out, "samples                 25"));

  const std::string val = images.path() + "/val";
  const Result elsewhere = heft_command(images.folder, eval + "--test-split 0.5 --data '" + val + "'");
  CHECK(elsewhere.exit_code == 0);
  CHECK(contains(elsewhere.out, "samples                  5"));
  std::filesystem::rename(val + "/dark", val + "/dusky");
  CHECK(contains(heft_command(images.folder, eval).err, "expected the classes bright, dark in"));
}

TEST_CASE("heft inspect data: a table, and the same as JSON", "[cli][images]") {
  const Images images;
  images.put("train", "dark", "story.txt", "Once upon a time");
  images.put("train", "dark", "half.jpg", golden_image("jpeg_420").substr(0, 300));
  images.put("train", "bright", "copy.png", plain_png(9, 8, {200, 200, 200}));
  images.put("val", "dark", "leak.png", plain_png(9, 8, {31, 20, 20}));
  images.put("val", "dark", "wrong.png", plain_png(9, 8, {205, 200, 200}));
  images.put("val", "dark", "veil.png", plain_png(30, 40, {1, 2, 3, 4}));
  std::filesystem::create_directories(images.path() + "/val/empty");
  const Result table = heft_command(images.folder, "inspect data '" + images.path() + "'");
  INFO(table.out);
  CHECK(table.exit_code == 3);  // as heft train says, below
  for (const char* text :
       {"class                train       val\n", "bright                  13         4\n",
        "dark                    13         7\n", "empty                    -         0\n",
        "all                     26        11\n", "val: width 9 to 30, median 9; height 8 to 40, median 8; ",
        "train: 25 PNG, 1 JPEG, 26 RGB\n", "val: 11 PNG, 0 JPEG, 10 RGB, 1 RGB with alpha\n", "val: no image of empty\n",
        "train: 2 broken:\n", "  dark/half.jpg is truncated\n", "  dark/story.txt is a text\n", "images more than once:\n",
        "  train/bright/0.png train/bright/copy.png val/bright/0.png (in different parts)\n",
        "  train/dark/11.png val/dark/leak.png (in different parts)\n",
        "  train/bright/5.png val/dark/wrong.png (of different classes)\n"}) {
    INFO(text);
    CHECK(contains(table.out, text));
  }
  const Result result = heft_command(images.folder, "inspect data --json --threads 2 '" + images.path() + "'");
  REQUIRE(result.exit_code == 3);
  const json report = json::parse(result.out);
  const json& train = report["parts"][0];
  CHECK(train["name"] == "train");
  CHECK(train["images"] == 26);
  CHECK(train["classes"][1] == json({{"name", "dark"}, {"images", 13}}));
  CHECK(train["kinds"]["rgb"] == 26);
  CHECK(train["broken"][0] == json({{"file", "dark/half.jpg"}, {"reason", "is truncated"}}));
  CHECK(report["parts"][1]["width"] == json({{"min", 9}, {"median", 9}, {"max", 30}}));
  CHECK(report["duplicates"].size() == 10);
  CHECK(report["duplicates"][0]["files"][1] == json({{"file", "train/bright/copy.png"}, {"class", "bright"}}));
}

TEST_CASE("heft inspect data: ends as heft train would begin, with its words and its exit code", "[cli][images]") {
  const Images images;
  const std::string inspect = "inspect data '" + images.path() + "' ";
  const auto agree = [&](const std::string& flags, const std::string& reason) {
    const Result seen = heft_command(images.folder, inspect + flags);
    const Result trained = heft_command(images.folder, images.train("run") + "--overwrite " + flags);
    INFO(seen.out << seen.err << trained.err);
    CHECK(seen.exit_code == (reason.empty() ? 0 : 3));
    CHECK(seen.exit_code == trained.exit_code);
    CHECK(contains(seen.out, "class"));
    CHECK(contains(seen.err, reason));
    if (reason.empty()) CHECK(seen.err.empty());
    else CHECK(seen.err == trained.err);
  };
  agree("", "");
  images.put("train", "dark", "\x1b[31m.png", "Once upon a time");
  agree("", "1 of 26 are not: dark/?[31m.png is a text");
  agree("--broken skip --quiet --json", "");
  std::filesystem::remove(images.path() + "/train/dark/\x1b[31m.png");
  std::filesystem::create_directories(images.path() + "/val/empty");
  agree("", "expected the classes bright, dark in " + images.path() + "/val; got bright, dark, empty");
  std::filesystem::create_directories(images.path() + "/train/empty");
  agree("", "expected images of every class in " + images.path() + "/train; empty has none that can be read");
  std::filesystem::remove_all(images.path() + "/val");
  std::filesystem::remove_all(images.path() + "/train/empty");
  std::filesystem::remove_all(images.path() + "/train/bright");
  agree("", "expected the images of two classes or more in " + images.path() + "/train; got those of dark alone");
  std::filesystem::remove_all(images.path());
  for (const char* name : {"bright", "dark"}) images.put(".", name, "0.png", plain_png(9, 8, {9}));
  agree("",
        "expected a class of two images or more in " + images.path() + ", to hold a test set out of; got one image of each");
  images.put(".", "dark", "1.png", plain_png(9, 8, {8}));
  agree("", "");
  std::filesystem::remove_all(images.path());
  std::filesystem::create_directories(images.path());
  agree("", "expected the images of two classes or more in " + images.path() + "; got none, there is no sub-folder");
  CHECK(heft_command(images.folder, inspect + "--broken perhaps").exit_code == 2);
}

TEST_CASE("heft inspect data: nothing that can be used is exit 3", "[cli][images]") {
  const TemporaryDirectory folder;
  const auto exit_code = [&](const std::string& arguments) { return heft_command(folder, "inspect " + arguments).exit_code; };
  CHECK(exit_code("data '" + folder.path() + "'") == 3);
  std::filesystem::create_directories(folder.file("a/b"));
  folder.write("a/b/x.png", "text");
  const Result broken = heft_command(folder, "inspect data '" + folder.file("a") + "'");
  CHECK(broken.exit_code == 3);
  CHECK(contains(broken.out, "b/x.png is a text"));
  CHECK(contains(broken.err, "1 of 1 are not: b/x.png is a text"));
  CHECK(exit_code("data '" + folder.file("none") + "'") == 3);
  CHECK(exit_code("data") == 2);
  CHECK(exit_code("") == 2);
  folder.write("a/b/\x1b[31m.png", plain_png(1, 1, {1}));
  const Result named = heft_command(folder, "inspect data '" + folder.file("a") + "'");
  CHECK(named.exit_code == 3);
  CHECK(contains(named.err, "1 of 2 are not"));
  folder.write("a/b/\x1b[32m.png", "text");
  const Result escaped = heft_command(folder, "inspect data '" + folder.file("a") + "'");
  CHECK(contains(escaped.out, "b/\\x1b[32m.png is a text"));
  CHECK_FALSE(contains(escaped.out + escaped.err, "\x1b"));
  folder.write("list.csv", "a/b/y.png,cat\n");
  CHECK(exit_code("data '" + folder.file("list.csv") + "'") == 3);
}

#endif
