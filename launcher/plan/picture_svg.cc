#include "launcher/plan/picture_svg.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/xml_text.h"
#include "launcher/plan/picture_colours.h"

namespace muster::plan {
namespace {

// 12.5, 12, never 12.500000.
std::string number(double value) {
  std::string text = fmt::format("{:.1f}", value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

constexpr std::string_view kLight = R"(
  .page { fill: #ffffff }
  .package { fill: #f4f5f7; stroke: #8a919b }
  .numa { fill: #ffffff; stroke: #aab0b8 }
  .unknown { fill: #ffffff; stroke: #8a919b; stroke-dasharray: 5 4 }
  .unused { fill: #ececec; stroke: #b9bec5 }
  .forbidden { fill: url(#hatched); stroke: #b9bec5 }
  .shared { fill: #d8dce2; stroke: #5b6470 }
  .device { fill: #e3e7ec; stroke: #5b6470 }
  .idle { fill: #ffffff; stroke: #5b6470; stroke-dasharray: 4 3 }
  .nic { fill: #f4f5f7; stroke: #5b6470 }
  .unfit { fill: url(#hatched); stroke: #8a919b }
  .switch { fill: #eef0f3; stroke: #8a919b }
  .edge { stroke: #2b3036 }
  .remote { stroke: #e0001b }
  .hatch { stroke: #b9bec5 }
  .halo { stroke: #ffffff }
  .text { fill: #1b1f24 }
  .muted { fill: #4f5761 }
)";

constexpr std::string_view kDark = R"(
  .page { fill: #14171b }
  .package { fill: #1d2127; stroke: #6c7683 }
  .numa { fill: #14171b; stroke: #565f6b }
  .unknown { fill: #14171b; stroke: #9aa3ae; stroke-dasharray: 5 4 }
  .unused { fill: #3a3e44; stroke: #5c646e }
  .forbidden { fill: url(#hatched); stroke: #5c646e }
  .shared { fill: #464d57; stroke: #9aa3ae }
  .device { fill: #2c323a; stroke: #9aa3ae }
  .idle { fill: #14171b; stroke: #9aa3ae; stroke-dasharray: 4 3 }
  .nic { fill: #22272e; stroke: #9aa3ae }
  .unfit { fill: url(#hatched); stroke: #6c7683 }
  .switch { fill: #262b32; stroke: #6c7683 }
  .edge { stroke: #dfe3e8 }
  .remote { stroke: #ff4a5e }
  .hatch { stroke: #4a515b }
  .halo { stroke: #14171b }
  .text { fill: #eef1f4 }
  .muted { fill: #b3bbc5 }
)";

std::string style(Theme theme) {
  std::string css =
      "  text { font-family: 'DejaVu Sans', Verdana, 'Segoe UI', Arial, sans-serif }\n";
  css += theme == Theme::kDark ? kDark.substr(1) : kLight.substr(1);
  if (theme == Theme::kAuto) {
    css += "  @media (prefers-color-scheme: dark) {";
    css += kDark;
    css += "  }\n";
  }
  for (int i = 0; i < kRankColourCount; ++i) {
    const std::string_view colour = rank_colours()[static_cast<std::size_t>(i)];
    css += fmt::format("  .r{} {{ fill: {} }} .l{} {{ stroke: {} }}\n", i, colour, i, colour);
  }
  css += "  .dark { fill: #000000 } .bright { fill: #ffffff }\n";
  return css;
}

std::string class_of(const Box& box) {
  const std::string rank = box.colour >= 0 ? fmt::format("r{} edge", box.colour) : "";
  switch (box.kind) {
    case BoxKind::kPage: return "page";
    case BoxKind::kPackage: return "package";
    case BoxKind::kNumaNode: return "numa";
    case BoxKind::kUnknownPlace: return "unknown";
    case BoxKind::kCore: return rank;
    case BoxKind::kSharedCore: return "shared";
    case BoxKind::kUnusedCore: return "unused";
    case BoxKind::kForbiddenCore: return "forbidden";
    case BoxKind::kRank: return rank.empty() ? "shared" : rank;
    case BoxKind::kRemoteRank: return fmt::format("r{} remote", box.colour);
    case BoxKind::kGpu: return rank.empty() ? "device" : rank;
    case BoxKind::kIdleGpu: return "idle";
    case BoxKind::kNic: return "nic";
    case BoxKind::kUnfitNic: return "unfit";
    case BoxKind::kSwitch: return "switch";
  }
  return "";
}

double radius_of(BoxKind kind) {
  switch (kind) {
    case BoxKind::kPage: return 0;
    case BoxKind::kPackage:
    case BoxKind::kNumaNode:
    case BoxKind::kUnknownPlace: return 6;
    case BoxKind::kRank:
    case BoxKind::kRemoteRank: return 8;
    default: return 3;
  }
}

std::string rectangle(const Rect& rect, std::string_view classes, double radius,
                      std::string_view more, const std::string& tooltip) {
  std::string text = fmt::format(
      R"(<rect x="{}" y="{}" width="{}" height="{}" rx="{}" class="{}"{})", number(rect.x),
      number(rect.y), number(rect.width), number(rect.height), number(radius), classes, more);
  return text +
         (tooltip.empty() ? "/>\n" : "><title>" + xml_escaped(tooltip) + "</title></rect>\n");
}

std::string box_svg(const Box& box) {
  const bool remote = box.kind == BoxKind::kRemoteRank;
  std::string text =
      rectangle(box.rect, class_of(box), radius_of(box.kind),
                remote ? R"( stroke-width="2.5" stroke-dasharray="5 3")" : "", box.tooltip);
  // Whose NIC it is: bars at its left.
  const double part =
      box.rect.height / static_cast<double>(std::max<std::size_t>(box.bars.size(), 1));
  for (std::size_t i = 0; i < box.bars.size(); ++i) {
    text += rectangle({box.rect.x, box.rect.y + part * static_cast<double>(i), 4, part},
                      fmt::format("r{} edge", box.bars[i]), 1, "", "");
  }
  // Hardware threads, as notches that leave room for the number.
  constexpr double kRoom = 3;
  if (box.threads > 1 && box.rect.width / box.threads >= kRoom) {
    for (int i = 1; i < box.threads; ++i) {
      const double x = box.rect.x + box.rect.width * i / box.threads;
      text += fmt::format(R"(<line x1="{0}" y1="{1}" x2="{0}" y2="{2}" class="{3}"/>)"
                          "\n",
                          number(x), number(box.rect.bottom() - 6), number(box.rect.bottom()),
                          box.colour >= 0 ? "edge" : "hatch");
    }
  }
  return text;
}

std::string tie_svg(const Tie& tie) {
  std::string points;
  for (const Point& point : tie.points) {
    points += (points.empty() ? "" : " ") + number(point.x) + "," + number(point.y);
  }
  const auto line = [&](const std::string& classes, double width, std::string_view dashes) {
    return fmt::format(R"(<polyline points="{}" fill="none" class="{}" stroke-width="{}"{}/>)"
                       "\n",
                       points, classes, number(width), dashes);
  };
  const std::string colour = fmt::format("l{}", std::max(tie.colour, 0));
  switch (tie.kind) {
    // A dark edge, because some colours are near the page's.
    case TieKind::kNear: return line("edge", 3.4, "") + line(colour, 2, "");
    case TieKind::kRemote:
      return line("halo", 4.4, "") + line("remote", 2.2, R"( stroke-dasharray="7 4")");
    case TieKind::kUnknown:
      return line("edge", 2, R"( stroke-dasharray="1.5 4" stroke-linecap="round")");
  }
  return "";
}

std::string text_svg(const Text& text) {
  std::string classes = text.muted ? "muted" : "text";
  if (text.on_colour >= 0) classes = wants_dark_text(text.on_colour) ? "dark" : "bright";
  const double x = text.centred ? text.bounds.middle_x() : text.bounds.x;
  const double y = text.bounds.middle_y() + text.size * 0.36;
  return fmt::format(R"(<text x="{}" y="{}" font-size="{}" class="{}"{}{}>{}</text>)"
                     "\n",
                     number(x), number(y), number(text.size), classes,
                     text.bold ? R"( font-weight="bold")" : "",
                     text.centred ? R"( text-anchor="middle")" : "", xml_escaped(text.text));
}

}  // namespace

std::string picture_svg(const Picture& picture, Theme theme) {
  std::string svg = fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img">)"
      "\n<title>{2}</title>\n<style>\n{3}</style>\n",
      number(picture.width), number(picture.height), xml_escaped(picture.title), style(theme));
  svg += R"(<defs><pattern id="hatched" width="6" height="6" patternUnits="userSpaceOnUse">)"
         R"(<path d="M0,6 L6,0" class="hatch" fill="none"/></pattern></defs>)"
         "\n";
  for (const Box& box : picture.boxes) svg += box_svg(box);
  for (const Tie& tie : picture.ties) svg += tie_svg(tie);
  for (const Text& text : picture.texts) svg += text_svg(text);
  return svg + "</svg>\n";
}

}  // namespace muster::plan
