// A drawing in the units of its data, as an SVG file: lines, circles and text, enough for the figures of docs/.
#pragma once

#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

class Svg {
 public:
  struct Range {
    double low, high;
  };
  Svg(Range x, Range y) : x_(x), y_(y) {}

  void line(const std::vector<std::pair<double, double>>& points, const std::string& colour, const std::string& dash = "") {
    body_ << "<polyline clip-path='url(#frame)' fill='none' stroke='" << colour << "' stroke-width='2' stroke-dasharray='"
          << dash << "' points='";
    for (const auto& [x, y] : points) body_ << at_x(x) << ',' << at_y(y) << ' ';
    body_ << "'/>\n";
  }
  void circle(double x, double y, double radius, const std::string& colour, double opacity = 0.8) {
    body_ << "<circle cx='" << at_x(x) << "' cy='" << at_y(y) << "' r='" << radius << "' fill='" << colour << "' fill-opacity='"
          << opacity << "'/>\n";
  }
  void text(double x, double y, const std::string& words, const std::string& colour = "#333",
            const std::string& anchor = "start") {
    body_ << "<text x='" << at_x(x) << "' y='" << at_y(y) << "' fill='" << colour << "' text-anchor='" << anchor << "'>"
          << words << "</text>\n";
  }
  bool save(const std::string& path) const {
    std::ofstream file(path);
    file << "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 " << kWidth << ' ' << kHeight
         << "' font-family='sans-serif' font-size='14'>\n<rect width='100%' height='100%' fill='white'/>\n"
         << "<rect x='" << kMargin << "' y='" << kMargin << "' width='" << kWidth - 2 * kMargin << "' height='"
         << kHeight - 2 * kMargin << "' fill='none' stroke='#999'/>\n<clipPath id='frame'><rect x='" << kMargin << "' y='"
         << kMargin << "' width='" << kWidth - 2 * kMargin << "' height='" << kHeight - 2 * kMargin << "'/></clipPath>\n"
         << body_.str() << "</svg>\n";
    return file.good();
  }

 private:
  static constexpr double kWidth = 720, kHeight = 460, kMargin = 50;
  double at_x(double x) const { return kMargin + (x - x_.low) / (x_.high - x_.low) * (kWidth - 2 * kMargin); }
  double at_y(double y) const { return kHeight - kMargin - (y - y_.low) / (y_.high - y_.low) * (kHeight - 2 * kMargin); }

  Range x_, y_;
  std::ostringstream body_;
};
