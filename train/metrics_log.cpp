#include "train/metrics_log.h"

#include <cerrno>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "train/atomic_file.h"

namespace heft::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kOp = "metrics_log";

void put(Json& line, const std::string& prefix, const Evaluation& evaluation, const std::string& loss_and_accuracy) {
  line[loss_and_accuracy + "loss"] = evaluation.mean_loss;
  line[loss_and_accuracy + "accuracy"] = evaluation.accuracy;
  line[prefix + "balanced_accuracy"] = evaluation.balanced_accuracy;
  line[prefix + "worst_class_accuracy"] = evaluation.worst_class_accuracy;
  line[prefix + "calibration_error"] = evaluation.calibration_error;
  Json& per_class = line[prefix + "per_class_accuracy"] = Json::array();
  for (const std::optional<double>& accuracy : evaluation.per_class_accuracy)
    per_class.push_back(accuracy ? Json(*accuracy) : Json(nullptr));
}

}  // namespace

std::string metrics_line(const EpochReport& report) {
  Json line;
  line["epoch"] = report.epoch;
  line["train_loss"] = report.train_loss;
  line["train_accuracy"] = report.train_accuracy;
  line["collapsed_to"] = report.collapsed_to ? Json(*report.collapsed_to) : Json(nullptr);
  if (report.test) put(line, "", *report.test, "test_");
  if (report.validation) put(line, "validation_", *report.validation, "validation_");
  if (report.memorised) line["memorised"] = *report.memorised;
  line["lambda"] = std::isfinite(report.lambda) ? Json(report.lambda) : Json(nullptr);
  if (report.lambda_clamped > 0) line["lambda_clamped"] = report.lambda_clamped;
  line["lr"] = report.lr;
  line["class_weighted"] = report.class_weighted;
  line["effective_share"] = report.effective_share;
  line["images"] = report.images;
  line["images_per_second"] = report.images_per_second;
  line["seconds"] = report.seconds;
  return line.dump();
}

std::string first_lines(const std::string& path, std::int64_t count) {
  std::string lines, line;
  std::ifstream file(path);
  for (std::int64_t i = 0; i < count; ++i) {
    check<DataError>(static_cast<bool>(std::getline(file, line)), kOp, "expected {} lines in {}; got {}", count, path, i);
    check<DataError>(!file.eof(), kOp, "expected {} whole lines in {}; number {} is cut off", count, path, i + 1);
    lines += line + '\n';
  }
  return lines;
}

LineLog::LineLog(const std::string& path, std::int64_t keep) : path_(path), lines_(keep) {
  write_atomically(path, first_lines(path, keep));
  errno = 0;
  file_.open(path, std::ios::app);
  if (!file_) fail_to_write(kOp, path);
}

void LineLog::add(const std::string& line) {
  errno = 0;
  file_ << line << std::endl;
  if (!file_) fail_to_write(kOp, path_);
  ++lines_;
}

void LineLog::sync() { sync_file(path_); }

}  // namespace heft::train
