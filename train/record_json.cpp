#include "train/record_json.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>

namespace heft::train::record {
namespace {

std::string hex(const std::vector<std::uint8_t>& bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string digits;
  for (const std::uint8_t byte : bytes) {
    digits += kDigits[byte >> 4];
    digits += kDigits[byte & 15];
  }
  return digits;
}

// Of a line that may be anything: past all others where there is no such number.
std::int64_t number(const Json& line, const char* name) {
  const auto found = line.is_object() ? line.find(name) : line.end();
  return found != line.end() && found->is_number_integer() ? found->get<std::int64_t>()
                                                           : std::numeric_limits<std::int64_t>::max();
}

}  // namespace

std::string text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json short_number(double x) {
  return std::isfinite(x) ? Json(std::strtod(fmt::format("{:.6g}", x).c_str(), nullptr)) : Json(nullptr);
}

Json short_numbers(const std::vector<double>& values) {
  Json array = Json::array();
  for (const double x : values) array.push_back(short_number(x));
  return array;
}

Json to_json(const HardSample& sample) {
  return {{"index", sample.index},
          {"label", sample.label},
          {"clean_label", sample.clean_label >= 0 ? Json(sample.clean_label) : Json(nullptr)},
          {"predicted", sample.predicted},
          {"loss", short_number(sample.loss)},
          {"weight", short_number(sample.weight)},
          {"confidence", short_number(sample.confidence)},
          {"label_probability", short_number(sample.label_probability)},
          {"margin", short_number(sample.margin)},
          {"pixels", hex(sample.pixels)}};
}

Json to_json(const data::ConfusionMatrix& confusion) {
  Json rows = Json::array();
  for (std::int64_t label = 0; label < confusion.classes(); ++label) {
    Json& row = rows.emplace_back(Json::array());
    for (std::int64_t predicted = 0; predicted < confusion.classes(); ++predicted)
      row.push_back(confusion.count(label, predicted));
  }
  return rows;
}

std::int64_t lines_before(const std::string& path, int epoch) {
  std::ifstream file(path);
  std::int64_t count = 0;
  for (std::string line; std::getline(file, line) && number(Json::parse(line, nullptr, false), "epoch") < epoch;) ++count;
  return count;
}

}  // namespace heft::train::record
