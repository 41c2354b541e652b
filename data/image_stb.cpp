// The one file that compiles stb_image. The distribution's copy: PNG and JPEG only, no file access of its own, static so that
// no other copy in the process meets it, and its memory from a budget.
#include <algorithm>
#include <cstring>

#include "data/image_pixels.h"

namespace {

// Of the decoding that this thread is at. stb_image frees all it takes but its result.
thread_local std::uint64_t budget_left = 0;

// A block's size is in front of it, in as many bytes as keep the block aligned.
constexpr std::size_t kFront = alignof(std::max_align_t);
static_assert(kFront >= sizeof(std::size_t));

std::size_t size_of_block(const void* block) {
  std::size_t bytes = 0;
  std::memcpy(&bytes, static_cast<const char*>(block) - kFront, sizeof(bytes));
  return bytes;
}

void* take(std::size_t bytes) {
  if (bytes > budget_left || budget_left - bytes < kFront) return nullptr;
  auto* front = static_cast<char*>(std::malloc(bytes + kFront));
  if (front == nullptr) return nullptr;
  std::memcpy(front, &bytes, sizeof(bytes));
  budget_left -= bytes + kFront;
  return front + kFront;
}

void give_back(void* block) {
  if (block == nullptr) return;
  budget_left += size_of_block(block) + kFront;
  std::free(static_cast<char*>(block) - kFront);
}

void* take_larger(void* block, std::size_t bytes) {
  void* larger = take(bytes);
  if (larger == nullptr || block == nullptr) return larger;
  std::memcpy(larger, block, std::min(bytes, size_of_block(block)));
  give_back(block);
  return larger;
}

}  // namespace

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_MAX_DIMENSIONS (1 << 20)  // decode_pixels() has checked the sides against the caller's limits
#define STBI_ASSERT(x) ((void)0)       // a wrong file must not end the program
#define STBI_MALLOC(size) take(size)
#define STBI_REALLOC(block, size) take_larger(block, size)
#define STBI_FREE(block) give_back(block)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace heft::data {

void Pixels::Free::operator()(std::uint8_t* block) const { std::free(reinterpret_cast<char*>(block) - kFront); }

std::optional<Pixels> stb_decode(std::span<const std::byte> bytes, std::uint64_t budget, std::string& reason) {
  budget_left = budget;
  int width = 0, height = 0, channels = 0;
  stbi_uc* data = stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()), static_cast<int>(bytes.size()), &width,
                                        &height, &channels, 0);
  if (data == nullptr) {
    const char* said = stbi_failure_reason();
    reason = said != nullptr ? said : "no reason given";
    return std::nullopt;
  }
  return Pixels{
      .data = std::unique_ptr<std::uint8_t, Pixels::Free>(data), .width = width, .height = height, .channels = channels};
}

}  // namespace heft::data
