#include "data/image.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "core/error.h"
#include "tests/catch_compat.h"
#include "tests/data/image_files.h"

using heft::DataError;
using heft::Shape;
using heft::Tensor;
using heft::ValueError;
using heft::data::decode_image;
using heft::data::image_info;
using heft::data::ImageFormat;
using heft::data::ImageOptions;
using heft::data::read_image;
using heft::data::read_image_info;
using heft::test::as_bytes;
using heft::test::contains;
using heft::test::from_hex;
using heft::test::golden_image;
using heft::test::golden_images;
using heft::test::message_of;
using heft::test::plain_png;
using heft::test::png_bytes;
using heft::test::png_chunk;
using heft::test::png_header;
using heft::test::TemporaryDirectory;
using Values = std::vector<int>;

namespace {

Tensor decoded(const std::string& file, const ImageOptions& options = {}) {
  return decode_image(as_bytes(file), options, "it");
}
Values pixels(const std::string& file, const ImageOptions& options = {}) { return decoded(file, options).to_vector<int>(); }
std::string refusal(const std::string& file, const ImageOptions& options = {}) {
  return message_of<DataError>([&] { decoded(file, options); });
}
std::string bytes(const Values& values) {
  std::string out;
  for (const int value : values) out.push_back(static_cast<char>(value));
  return out;
}

}  // namespace

TEST_CASE("image: PNG and JPEG as Pillow reads them", "[data][image]") {
  for (const auto& [name, entry] : golden_images()["files"].items()) {
    INFO(name);
    const std::string file = golden_image(name);
    const bool png = name.starts_with("png");
    const int width = entry["width"], height = entry["height"];
    const auto info = image_info(as_bytes(file), name);
    CHECK(info.format == (png ? ImageFormat::png : ImageFormat::jpeg));
    CHECK(info.width == width);
    CHECK(info.height == height);
    const Tensor image = decoded(file, {.channels = 3});
    REQUIRE(image.shape() == Shape{3, height, width});
    CHECK(image.dtype() == heft::DType::u8);
    const Values got = image.to_vector<int>();
    const std::string expected = from_hex(entry["rgb"]);
    int worst = 0;
    for (int i = 0; i < width * height; ++i)
      for (int c = 0; c < 3; ++c)
        worst = std::max(worst, std::abs(got[static_cast<std::size_t>(c * width * height + i)] -
                                         static_cast<unsigned char>(expected[static_cast<std::size_t>(3 * i + c)])));
    CHECK(worst <= (png ? 0 : 5));  // JPEG decoders round, and enlarge colour, in their own ways
  }
}

namespace {

void check_close(const Tensor& image, const std::string& rgb) {
  const Values got = image.to_vector<int>();
  const std::size_t area = got.size() / 3;
  REQUIRE(rgb.size() == got.size());
  int worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    worst = std::max(worst, std::abs(got[i % 3 * area + i / 3] - static_cast<unsigned char>(rgb[i])));
  CHECK(worst <= 5);
}

// A JPEG with `exif` after its first marker.
std::string with_exif(const std::string& jpeg, const std::string& exif) {
  const std::string data = std::string("Exif\0\0", 6) + exif;
  const std::size_t size = data.size() + 2;
  return jpeg.substr(0, 2) + "\xff\xe1" + bytes({static_cast<int>(size >> 8), static_cast<int>(size & 0xff)}) + data +
         jpeg.substr(2);
}

// One entry: the orientation.
std::string exif_of(int orientation, bool little) {
  if (little)
    return "II" + bytes({42, 0, 8, 0, 0, 0}) + bytes({1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0});
  return "MM" + bytes({0, 42, 0, 0, 0, 8}) + bytes({0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0});
}

}  // namespace

TEST_CASE("image: JPEGs are turned as their EXIF data say, as by Pillow", "[data][image][exif]") {
  const auto& orientations = golden_images()["orientations"];
  REQUIRE(orientations.size() == 8);
  const std::string plain = golden_image("jpeg_444");
  for (std::size_t i = 0; i < 8; ++i) {
    INFO("orientation " << i + 1);
    const auto& entry = orientations[i];
    const std::string file = from_hex(entry["file"]), rgb = from_hex(entry["rgb"]);
    const int width = entry["width"], height = entry["height"];
    CHECK(width == (i < 4 ? 9 : 10));
    CHECK(image_info(as_bytes(file), "it").width == width);
    CHECK(image_info(as_bytes(file), "it").height == height);
    REQUIRE(decoded(file).shape() == Shape{3, height, width});
    check_close(decoded(file), rgb);
    // The same picture without, and one of our own making on it, in both byte orders.
    for (const bool little : {true, false}) {
      const std::string ours = with_exif(plain, exif_of(static_cast<int>(i) + 1, little));
      CHECK(pixels(ours) == pixels(file));
      CHECK(pixels(ours, {.channels = 1}) == pixels(file, {.channels = 1}));
    }
  }
  const TemporaryDirectory dir;
  CHECK(read_image_info(dir.write("a.jpg", with_exif(plain, exif_of(6, true)))).width == 10);
  CHECK(read_image(dir.file("a.jpg")).shape() == Shape{3, 9, 10});
}

TEST_CASE("image: EXIF data that are damaged, or say nothing, turn nothing", "[data][image][exif]") {
  const std::string jpeg = golden_image("jpeg_444"), good = exif_of(6, false);
  const Values upright = pixels(jpeg);
  REQUIRE(pixels(with_exif(jpeg, good)) != upright);
  for (std::size_t size = 0; size < good.size(); ++size) {  // cut short: before the value's end there is none
    INFO(size << " of " << good.size() << " bytes");
    CHECK((pixels(with_exif(jpeg, good.substr(0, size))) == upright) == (size < 20));
  }
  const auto changed = [&](std::size_t at, const Values& to) {
    std::string exif = good;
    exif.replace(at, to.size(), bytes(to));
    return pixels(with_exif(jpeg, exif)) == upright;
  };
  CHECK(changed(0, {'X', 'X'}));                // no byte order
  CHECK(changed(2, {0, 43}));                   // no TIFF
  CHECK(changed(4, {0xff, 0xff, 0xff, 0xff}));  // a directory beyond the end, and one whose entries wrap around
  CHECK(changed(4, {0xff, 0xff, 0xff, 0xf8}));
  CHECK(changed(4, {0, 0, 0, 25}));
  CHECK(changed(8, {0, 0}));         // no entries
  CHECK(changed(10, {1, 0x13}));     // another tag
  CHECK(changed(12, {0, 4}));        // another type
  CHECK(changed(14, {0, 0, 0, 2}));  // several
  CHECK(changed(18, {0, 0}));        // none of 1 to 8
  CHECK(changed(18, {0, 9}));
  CHECK(changed(18, {6, 0}));
  CHECK_FALSE(changed(8, {0xff, 0xff}));  // more entries than there are, after the one that counts
  // The first EXIF data count, wherever they are before the pixels; PNGs have none.
  CHECK(pixels(with_exif(with_exif(jpeg, good), exif_of(1, true))) == upright);
  CHECK(pixels(with_exif(with_exif(jpeg, exif_of(1, true)), good)) != upright);
}

TEST_CASE("image: channels as in the file, or as asked", "[data][image]") {
  const std::string grey = png_bytes(2, 1, 1, bytes({10, 200})), colour = png_bytes(2, 1, 3, bytes({255, 0, 0, 10, 20, 30}));
  CHECK(decoded(grey).shape() == Shape{1, 1, 2});
  CHECK(pixels(grey) == Values{10, 200});
  CHECK(pixels(grey, {.channels = 3}) == Values{10, 200, 10, 200, 10, 200});
  CHECK(decoded(colour).shape() == Shape{3, 1, 2});
  CHECK(pixels(colour) == Values{255, 10, 0, 20, 0, 30});
  CHECK(pixels(colour, {.channels = 1}) == Values{76, 18});  // 76.245, 18.15
  CHECK(image_info(as_bytes(grey), "it").channels == 1);
  CHECK(image_info(as_bytes(colour), "it").channels == 3);
  CHECK(decoded(golden_image("jpeg_grey")).shape()[0] == 1);
  CHECK(image_info(as_bytes(golden_image("jpeg_cmyk")), "it").channels == 3);
  CHECK(contains(message_of<ValueError>([&] { decoded(grey, {.channels = 2}); }), "expected channels 1 or 3"));
}

TEST_CASE("image: what is transparent lies on white", "[data][image]") {
  const std::string rgba = png_bytes(3, 1, 4, bytes({10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 200, 51}));
  CHECK(image_info(as_bytes(rgba), "it").channels == 4);
  CHECK(pixels(rgba) == Values{10, 255, 204, 20, 255, 224, 30, 255, 244});
  const std::string grey = png_bytes(2, 1, 2, bytes({0, 0, 50, 255}));
  CHECK(image_info(as_bytes(grey), "it").channels == 2);
  CHECK(decoded(grey).shape() == Shape{1, 1, 2});
  CHECK(pixels(grey) == Values{255, 50});
  // A colour that stands for transparent.
  const std::string keyed = png_bytes(2, 1, 3, bytes({1, 2, 3, 4, 5, 6}), 8, png_chunk("tRNS", bytes({0, 1, 0, 2, 0, 3})));
  CHECK(image_info(as_bytes(keyed), "it").channels == 4);
  CHECK(pixels(keyed) == Values{255, 4, 255, 5, 255, 6});
}

TEST_CASE("image: of 16 bits a channel the upper 8", "[data][image]") {
  CHECK(pixels(png_bytes(2, 1, 1, bytes({0x12, 0xff, 0xfe, 0x01}), 16)) == Values{0x12, 0xfe});
}

TEST_CASE("image: other formats are named, whatever the file is called", "[data][image]") {
  const TemporaryDirectory dir;
  const auto refused = [&](const std::string& content) {
    const std::string path = dir.write("cat.png", content);
    const std::string message = message_of<DataError>([&] { read_image(path); });
    CHECK(contains(message, path));
    CHECK(message_of<DataError>([&] { read_image_info(path); }).substr(12) == message.substr(14));  // but for the operation
    return message;
  };
  CHECK(contains(refused(from_hex(golden_images()["gif"])), "[decode_image] expected a PNG or JPEG image; "));
  CHECK(contains(refused(from_hex(golden_images()["gif"])), " is a GIF"));
  CHECK(contains(refused("not an image\n"), " is a text"));
  CHECK(contains(refused(""), " is empty"));
  CHECK(contains(refused("BM6\x01\x02"), " is a BMP"));
  CHECK(contains(refused("RIFFxxxxWEBPVP8 "), " is a WebP"));
  CHECK(contains(refused(std::string("MM\0*\0\0", 6)), " is a TIFF"));
  CHECK(contains(refused("\x01\x02\x03"), " is of an unknown kind"));
}

TEST_CASE("image: every file that is cut short is refused", "[data][image]") {
  for (const char* name : {"jpeg_420", "jpeg_progressive", "jpeg_grey", "png_rgb", "png_palette"}) {
    const std::string whole = golden_image(name);
    for (std::size_t size = 8; size < whole.size(); ++size) {
      CAPTURE(name, size);
      const std::string message = refusal(whole.substr(0, size));
      CHECK((contains(message, "it is truncated") || contains(message, "it is damaged")));
      // The end of a JPEG's pixels, with an end put after it, is found by nobody; half of the marker is.
      if (size + 12 < whole.size()) CHECK(contains(message, "it is truncated"));
    }
    CHECK_NOTHROW(decoded(whole + "and more"));
  }
}

TEST_CASE("image: damage is named", "[data][image]") {
  const std::string png = golden_image("png_rgb");
  std::string other = png;
  other[other.size() - 20] ^= 1;  // within the pixels
  CHECK(contains(refusal(other), "the checksum of IDAT at byte 37 is wrong"));
  other = png;
  other[16] ^= 1;  // the width, far beyond the limit
  CHECK(contains(refusal(other), "expected at most 16384 pixels a side"));
  CHECK(contains(refusal(png_header(2, 1, 8, 5) + png_chunk("IEND", "")), "colour type 5"));
  CHECK(contains(refusal(png_header(2, 1, 8, 0) + png_chunk("NEWS", "") + png_chunk("IEND", "")), "of unknown kind"));
  CHECK(contains(refusal(png_header(2, 1, 8, 0) + png_chunk("IDAT", "garbage") + png_chunk("IEND", "")), "is damaged: "));
  CHECK(contains(refusal(png_header(2, 1, 8, 0) + png_chunk("IEND", "")), "is damaged: no IDAT"));
  CHECK(contains(refusal(png_header(0, 1, 8, 0) + png_chunk("IEND", "")), "it has 0 x 1"));
  const std::string jpeg = golden_image("jpeg_420");
  other = jpeg;
  const std::size_t frame = jpeg.find("\xff\xc0");
  REQUIRE(frame != std::string::npos);
  other[frame + 1] = '\xc9';
  CHECK(contains(refusal(other), "arithmetic"));
  other = jpeg;
  other[frame + 4] = 12;
  CHECK(contains(refusal(other), "8 bits a channel; it has 12 bits"));
  other = jpeg;
  other[frame + 9] = 2;
  CHECK(contains(refusal(other), "2 channels"));
  other = jpeg;
  other[2] = 'x';
  CHECK(contains(refusal(other), "it is of an unknown kind"));
  CHECK(contains(refusal(jpeg.substr(0, jpeg.size() - 2) +
                         [&] {
                           std::string scans;
                           for (int i = 0; i < 101; ++i) scans += std::string("\xff\xda\x00\x02", 4);
                           return scans;
                         }() +
                         "\xff\xd9"),
                 "more than 100 scans"));
}

TEST_CASE("image: a header that lies asks for no memory", "[data][image]") {
  const std::string huge = png_header(0x7fffffff, 0x7fffffff, 16, 6) + png_chunk("IDAT", "") + png_chunk("IEND", "");
  CHECK(contains(refusal(huge),
                 "expected at most 16384 pixels a side and 134217728 bytes of pixels; it says it has 2147483647 x"));
  const std::string large = png_header(16000, 16000, 8, 2) + png_chunk("IDAT", "") + png_chunk("IEND", "");
  CHECK(contains(refusal(large), "16000 x 16000 x 3"));
  // Within the limits, but with no pixels behind it: refused by what the file has.
  const std::string empty =
      png_header(6000, 6000, 8, 2) + png_chunk("IDAT", heft::test::zlib_bytes("")) + png_chunk("IEND", "");
  CHECK(contains(refusal(empty), "not enough pixels"));
  // A JPEG's pixels take a bit for each block of 8 x 8 of each component; stb_image would make up for what is not there.
  std::string promising = golden_image("jpeg_progressive");
  const std::size_t frame = promising.find("\xff\xc2");
  REQUIRE(frame != std::string::npos);
  promising.replace(frame + 5, 4, "\x10\x00\x10\x00", 4);
  CHECK(contains(refusal(promising), "it is damaged: 4096 x 4096 pixels take 98304 bytes or more; it has "));
  promising[frame + 11] = 0x05;
  CHECK(contains(refusal(promising), "it is damaged: 0 x 5 samples a pixel"));
  // 200 MB of zeros behind two pixels.
  const std::string bomb =
      png_header(2, 1, 8, 0) + png_chunk("IDAT", heft::test::zlib_bytes(std::string(200u << 20, '\0'))) + png_chunk("IEND", "");
  CHECK(bomb.size() < (1u << 20));
  CHECK(contains(refusal(bomb), "is damaged: outofmem"));
  const ImageOptions small{.limits = {.side = 10, .pixel_bytes = 100, .file_bytes = 1000}};
  CHECK(contains(refusal(plain_png(11, 1, {5}), small), "at most 10 pixels a side"));
  CHECK(contains(refusal(plain_png(10, 9, {5, 5, 5}), small), "and 100 bytes of pixels"));
  CHECK(contains(refusal(golden_image("png_rgb") + std::string(1000, 'x'), small), "a file of at most 1000 bytes"));
  CHECK_NOTHROW(decoded(plain_png(10, 10, {5}), small));
}

TEST_CASE("image: files are read whole, their headers alone from the start", "[data][image]") {
  const TemporaryDirectory dir;
  const std::string path = dir.write("a", plain_png(3, 2, {7, 8, 9}));
  CHECK(read_image(path, {.channels = 1}).to_vector<int>() == Values(6, 8));
  CHECK(read_image_info(path).width == 3);
  // A header that begins beyond 64 KiB.
  const std::string jpeg = golden_image("jpeg_420");
  std::string padded = jpeg.substr(0, 2);
  for (int i = 0; i < 3; ++i) padded += std::string("\xff\xe5\x80\x00", 4) + std::string(0x7ffe, 'x');
  padded += jpeg.substr(2);
  CHECK(read_image_info(dir.write("b", padded)).width == 19);
  CHECK(read_image(dir.file("b")).to_vector<int>() == pixels(jpeg));
  CHECK(
      contains(message_of<DataError>([&] { read_image(dir.file("none")); }), dir.file("none") + "; the system says: No such"));
  CHECK(contains(message_of<DataError>([&] { read_image(dir.path()); }),
                 "expected a file; " + dir.path() + " is something else"));
  REQUIRE(mkfifo(dir.file("pipe").c_str(), 0600) == 0);
  CHECK(contains(message_of<DataError>([&] { read_image(dir.file("pipe")); }), "something else"));
  CHECK(
      contains(message_of<DataError>([&] { read_image(path, {.limits = {.file_bytes = 20}}); }), "a file of at most 20 bytes"));
}
