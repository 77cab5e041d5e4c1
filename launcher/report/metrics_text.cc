#include "launcher/report/metrics_text.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <span>

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/text.h"
#include "base/text_table.h"

namespace muster::report {
namespace {

using Align = TextTable::Align;
using Json = nlohmann::ordered_json;

constexpr std::size_t kLongestShown = 60;

std::string shown(std::string_view text) {
  std::string safe = without_controls(text);
  if (safe.size() <= kLongestShown) return safe;
  std::size_t end = kLongestShown;
  while (end > 0 && (static_cast<unsigned char>(safe[end]) & 0xC0U) == 0x80U) --end;
  return safe.substr(0, end) + "…";
}

std::string whose(int rank, const std::string& node) {
  return rank >= 0 ? std::to_string(rank) : shown(node);
}

// "4 ranks", "rank 3", "node-a", "2 nodes".
std::string ranks_text(const metrics::MetricSummary& metric) {
  const auto count = static_cast<std::int64_t>(metric.ranks.size());
  const metrics::RankSummary& first = metric.ranks.front();
  if (first.rank >= 0) return count > 1 ? counted(count, "rank") : "rank " + whose(first.rank, "");
  if (first.node.empty()) return "";
  return count > 1 ? counted(count, "node") : shown(first.node);
}

Json json_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

std::string utc(std::int64_t nanoseconds) {
  using Clock = std::chrono::system_clock;
  return format_utc(Clock::time_point(
      std::chrono::duration_cast<Clock::duration>(std::chrono::nanoseconds(nanoseconds))));
}

Json rank_json(const metrics::RankSummary& rank) {
  Json json;
  json["rank"] = rank.rank >= 0 ? Json(rank.rank) : Json(nullptr);
  json["node"] = rank.node.empty() ? Json(nullptr) : Json(rank.node);
  json["count"] = rank.count;
  json["last"] = {{"step", rank.last.step},
                  {"time", utc(rank.last.time)},
                  {"value", json_number(rank.last.value)}};
  json["min"] = json_number(rank.least);
  json["max"] = json_number(rank.most);
  return json;
}

Json bands_json(const std::vector<metrics::Band>& bands) {
  Json list = Json::array();
  for (const metrics::Band& band : bands) {
    list.push_back({{"step", band.step},
                    {"time", utc(band.time)},
                    {"min", json_number(band.least)},
                    {"mean", json_number(band.mean)},
                    {"max", json_number(band.most)}});
  }
  return list;
}

}  // namespace

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return std::isnan(value) ? "nan" : text;
}

std::string shown_name(const metrics::MetricSummary& metric) {
  return shown(metric.labels.empty() ? metric.name : metric.name + "{" + metric.labels + "}");
}

namespace {

bool is_of_nodes(const metrics::MetricSummary& metric) {
  return !metric.ranks.empty() && !metric.ranks.front().node.empty();
}

std::string table_of(std::span<const metrics::MetricSummary> all) {
  TextTable table({{"metric"},
                   {"of"},
                   {"values", Align::kRight},
                   {"last step", Align::kRight},
                   {"last", Align::kRight},
                   {"min", Align::kRight},
                   {"max", Align::kRight},
                   {"from"}});
  for (const metrics::MetricSummary& metric : all) {
    const bool several = metric.ranks.size() > 1;
    table.add_row({shown_name(metric), ranks_text(metric), std::to_string(metric.count),
                   std::to_string(metric.last_step), short_number(metric.mean),
                   several ? short_number(metric.least) : "",
                   several ? short_number(metric.most) : "",
                   metric.source == "metrics" ? "" : shown(metric.source)});
  }
  return table.without_empty_columns().to_string();
}

}  // namespace

void nodes_last(std::vector<metrics::MetricSummary>& all) {
  std::stable_partition(all.begin(), all.end(),
                        [](const auto& metric) { return !is_of_nodes(metric); });
}

// A training's own metrics are few, and what it was started for.
std::string metrics_table(const std::vector<metrics::MetricSummary>& all) {
  const auto nodes = std::find_if(all.begin(), all.end(), is_of_nodes);
  if (nodes == all.begin() || nodes == all.end()) return table_of(all);
  const auto own = static_cast<std::size_t>(nodes - all.begin());
  return table_of(std::span(all).first(own)) + "\nof the nodes\n" +
         table_of(std::span(all).subspan(own));
}

std::string last_values_table(const std::vector<metrics::MetricSummary>& all) {
  TextTable table({{"metric"},
                   {"of", Align::kRight},
                   {"step", Align::kRight},
                   {"value", Align::kRight},
                   {"time"},
                   {"from"}});
  for (const metrics::MetricSummary& metric : all) {
    for (const metrics::RankSummary& rank : metric.ranks) {
      table.add_row({shown_name(metric), whose(rank.rank, rank.node),
                     std::to_string(rank.last.step), short_number(rank.last.value),
                     utc(rank.last.time), metric.source == "metrics" ? "" : shown(metric.source)});
    }
  }
  return table.without_empty_columns().to_string();
}

std::string metrics_json(const MetricsDocument& document) {
  Json json;
  json["run_id"] = document.run_id;
  json["metrics"] = Json::array();
  for (std::size_t i = 0; i < document.metrics.size(); ++i) {
    const metrics::MetricSummary& metric = document.metrics[i];
    Json one;
    one["name"] = metric.name;
    one["labels"] = metric.labels;
    one["source"] = metric.source;
    one["count"] = metric.count;
    one["last_step"] = metric.last_step;
    one["last"] = {{"min", json_number(metric.least)},
                   {"mean", json_number(metric.mean)},
                   {"max", json_number(metric.most)}};
    one["ranks"] = Json::array();
    for (const metrics::RankSummary& rank : metric.ranks) one["ranks"].push_back(rank_json(rank));
    if (i < document.bands.size()) one["points"] = bands_json(document.bands[i]);
    json["metrics"].push_back(std::move(one));
  }
  json["bad_lines"] = Json::array();
  for (const metrics::BadLines& bad : document.bad_lines) {
    json["bad_lines"].push_back(
        {{"stream", bad.stream}, {"count", bad.count}, {"example", bad.example}});
  }
  json["refused_points"] = document.refused_points;
  return without_raw_controls(json.dump(2, ' ', false, Json::error_handler_t::replace)) + "\n";
}

std::string sample_line(const metrics::Origin& origin, const metrics::Sample& sample) {
  std::string line;
  if (origin.rank >= 0) line = "[" + std::to_string(origin.rank) + "] ";
  if (!origin.node.empty()) line = "[" + origin.node + "] ";
  line += sample.name + " " + std::to_string(sample.step.value_or(0)) + " " +
          short_number(sample.value);
  if (!sample.labels.empty()) line += " " + sample.labels;
  if (origin.rank < 0 && origin.node.empty()) line += " (" + origin.source + ")";
  return without_controls(line) + "\n";
}

}  // namespace muster::report
