#include <string>

#include "core/error.h"
#include "tests/catch_compat.h"
#include "tests/train/files.h"
#include "train/safetensors.h"

using heft::DataError;
using heft::Tensor;
using heft::test::contains;
using heft::test::message_of;
using heft::test::read_text;
using heft::test::TemporaryDirectory;
using namespace heft::train;

namespace {

SafeTensors sample() {
  SafeTensors all{.tensors = {}, .metadata = {{"note", "\x1f \"heft.crc32\":\"00000000"}}, .checksummed = true};
  all.tensors["conv1.weight"] = Tensor::from(std::vector<float>{1, -2, 3.5f, 4, 5, 6}, {2, 3});
  all.tensors["heft.crc32"] = Tensor::from(std::vector<bool>{true, false, true}, {3, 1});
  all.tensors["none"] = Tensor::empty({0, 4});
  return all;
}

std::string refusal(const std::string& path) {
  return message_of<DataError>([&] { read_safetensors(path); });
}

}  // namespace

TEST_CASE("safetensors: a checksum comes back as one that holds, and not as metadata", "[train][safetensors]") {
  const TemporaryDirectory folder;
  write_safetensors(folder.file("x"), sample());
  const SafeTensors found = read_safetensors(folder.file("x"));
  CHECK(found.checksummed);
  CHECK(found.metadata == sample().metadata);
  CHECK(found.tensors.at("conv1.weight").to_vector<float>() == sample().tensors.at("conv1.weight").to_vector<float>());

  SafeTensors plain = sample();
  plain.checksummed = false;
  write_safetensors(folder.file("plain"), plain);
  CHECK_FALSE(read_safetensors(folder.file("plain")).checksummed);

  plain.metadata[kChecksum] = "1";
  CHECK(contains(message_of<heft::ValueError>([&] { write_safetensors(folder.file("plain"), plain); }), kChecksum));

  write_safetensors(folder.file("empty"), {.tensors = {}, .metadata = {}, .checksummed = true});
  CHECK(read_safetensors(folder.file("empty")).checksummed);
}

// The CRC-32 of "123456789" is 0xcbf43926 by every description of it.
TEST_CASE("safetensors: the checksum is zlib's CRC-32, so that others can check it", "[train][safetensors]") {
  const TemporaryDirectory folder;
  SafeTensors digits{.tensors = {}, .metadata = {}, .checksummed = true};
  digits.tensors["x"] = Tensor::from(std::vector<std::uint8_t>{'1', '2', '3', '4', '5', '6', '7', '8', '9'});
  write_safetensors(folder.file("x"), digits);
  CHECK(contains(read_text(folder.file("x")), " cbf43926\""));
}

TEST_CASE("safetensors: a byte that changes anywhere in a file with a checksum is noticed", "[train][safetensors]") {
  const TemporaryDirectory folder;
  write_safetensors(folder.file("x"), sample());
  const std::string whole = read_text(folder.file("x"));
  const std::size_t key = whole.find("heft.crc32\":\"");
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (const int flip : {1, 2, 4, 8, 16, 32, 64, 128, 255}) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ flip);
      folder.write("flipped", bytes);
      INFO("byte " << at << " of " << whole.size() << ", xor " << flip);
      std::string message;
      bool checksummed = true;
      try {
        checksummed = read_safetensors(folder.file("flipped")).checksummed;
      } catch (const DataError& refused) {
        message = refused.what();
      }
      // Where the entry's name is another, this is a file without a checksum.
      if (message.empty()) REQUIRE((!checksummed && at >= key && at < key + 10));
      else REQUIRE(contains(message, folder.file("flipped")));
    }
}

TEST_CASE("safetensors: damage is told by the tensor that has it", "[train][safetensors]") {
  const TemporaryDirectory folder;
  write_safetensors(folder.file("x"), sample());
  const std::string whole = read_text(folder.file("x"));
  const auto damaged = [&](std::size_t at, char byte) {
    std::string bytes = whole;
    REQUIRE(bytes[at] != byte);
    bytes[at] = byte;
    return refusal(folder.write("damaged", bytes));
  };
  CHECK(contains(damaged(whole.size() - 3 - 1, 'x'), "tensor 'conv1.weight'"));
  CHECK(contains(damaged(whole.size() - 1, 0), "tensor 'heft.crc32'"));
  CHECK(contains(damaged(whole.find("\\u001f") + 5, 'F'), "expected the header"));  // the same text
  CHECK(contains(damaged(whole.find("conv1") + 4, '2'), "expected the header"));
}
