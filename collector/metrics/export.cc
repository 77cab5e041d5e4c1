#include "collector/metrics/export.h"

#include <chrono>
#include <cmath>
#include <fcntl.h>
#include <map>
#include <unistd.h>
#include <unordered_set>

#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "base/files.h"
#include "base/json_text.h"
#include "base/text.h"
#include "collector/metrics/tfevents.h"

namespace muster::metrics {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kEventFile = "events.out.tfevents.0.muster";

std::string utc(std::int64_t nanoseconds) {
  using Clock = std::chrono::system_clock;
  return format_utc(Clock::time_point(
      std::chrono::duration_cast<Clock::duration>(std::chrono::nanoseconds(nanoseconds))));
}

Json json_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string cell = "\"";
  for (const char c : text) cell += c == '"' ? std::string("\"\"") : std::string(1, c);
  return cell + '"';
}

bool is_from_events(const Series& series) {
  return series.rank < 0 && series.node.empty();
}

// Two writers in one folder hide each other's data from TensorBoard: one folder for each.
fs::path folder_of(const Series& series) {
  if (series.rank >= 0) {
    char name[32];
    std::snprintf(name, sizeof name, "rank-%05d", series.rank);
    return name;
  }
  return series.node.empty() ? fs::path(series.source) : fs::path("node-" + series.node);
}

std::string tag_of(const Series& series) {
  std::string tag = series.name;
  if (series.source == "stdout" || series.source == "stderr") tag = series.source + "/" + tag;
  return series.labels.empty() ? tag : tag + "{" + series.labels + "}";
}

// What tells points of a folder apart, after they have been through a file.
std::string key_of(std::string_view tag, std::int64_t step, double wall_time) {
  return std::string(tag) + '\0' + std::to_string(step) + '\0' +
         std::to_string(std::llround(wall_time * 1e6));
}

double seconds_of(std::int64_t nanoseconds) {
  return static_cast<double>(nanoseconds) / 1e9;
}

// Where the last whole record ends: an export that was interrupted goes on from there.
std::uint64_t read_known(const std::string& bytes, std::unordered_set<std::string>& known) {
  std::string_view rest = bytes;
  std::vector<Sample> samples;
  while (!rest.empty()) {
    const RecordRead read = read_record(rest);
    if (read.status != RecordRead::Status::kWhole) break;
    read_event(read.bytes, samples);
    rest.remove_prefix(static_cast<std::size_t>(read.size));
  }
  for (const Sample& sample : samples) {
    known.insert(key_of(sample.name, sample.step.value_or(0), seconds_of(sample.time.value_or(0))));
  }
  return bytes.size() - rest.size();
}

class EventFile {
 public:
  static Result<EventFile> open(const fs::path& folder) {
    MUSTER_TRY(make_directories(folder));
    EventFile file;
    file.path_ = folder / kEventFile;
    std::error_code missing;
    std::uint64_t whole = 0;
    if (fs::exists(file.path_, missing)) {
      MUSTER_TRY_ASSIGN(const std::string bytes, read_regular_file(file.path_));
      whole = read_known(bytes, file.known_);
    }
    MUSTER_TRY_ASSIGN(file.fd_, open_file(file.path_, O_WRONLY | O_CREAT | O_APPEND));
    if (::ftruncate(file.fd_.get(), static_cast<off_t>(whole)) != 0) {
      return Failure(system_error(ErrorCode::kRunDirectory, "writing " + file.path_.string()));
    }
    if (whole == 0) file.buffer_ = version_record(0);
    return file;
  }

  Result<bool> add(const std::string& tag, const Point& point) {
    const double wall_time = seconds_of(point.time);
    if (!known_.insert(key_of(tag, point.step, wall_time)).second) return false;
    buffer_ += scalar_record(wall_time, point.step, tag, point.value);
    if (buffer_.size() > (1U << 20)) MUSTER_TRY(flush());
    return true;
  }

  Result<> flush() {
    auto written = write_all(fd_, buffer_);
    buffer_.clear();
    if (!written) {
      written.error().code = ErrorCode::kRunDirectory;
      return Failure(std::move(written).error().with_context("writing " + path_.string()));
    }
    return {};
  }

 private:
  fs::path path_;
  Fd fd_;
  std::string buffer_;
  std::unordered_set<std::string> known_;
};

}  // namespace

std::string jsonl_line(const Series& series, const Point& point) {
  Json line;
  line["name"] = series.name;
  if (!series.labels.empty()) line["labels"] = series.labels;
  if (series.rank >= 0) line["rank"] = series.rank;
  if (!series.node.empty()) line["node"] = series.node;
  line["source"] = series.source;
  line["step"] = point.step;
  line["time"] = utc(point.time);
  line["value"] = json_number(point.value);
  return without_raw_controls(line.dump(-1, ' ', false, Json::error_handler_t::replace)) + "\n";
}

std::string csv_head() {
  return "name,labels,rank,node,source,step,time,value\n";
}

std::string csv_line(const Series& series, const Point& point) {
  char value[40];
  std::snprintf(value, sizeof value, "%.17g", point.value);
  return csv_cell(series.name) + "," + csv_cell(series.labels) + "," +
         (series.rank < 0 ? "" : std::to_string(series.rank)) + "," + csv_cell(series.node) + "," +
         csv_cell(series.source) + "," + std::to_string(point.step) + "," + utc(point.time) + "," +
         value + "\n";
}

Result<> export_text(MetricsDb& db, const Selection& selection, ExportFormat format,
                     const Sink& sink) {
  bool wanted = format != ExportFormat::kCsv || sink(csv_head());
  MUSTER_TRY_ASSIGN(const std::vector<Series> all, db.series());
  for (const Series& series : all) {
    if (!wanted || !selection.has(series)) continue;
    MUSTER_TRY(db.points(series.id, [&](const Point& point) {
      if (!wanted || (selection.since && point.time < *selection.since)) return;
      wanted =
          sink(format == ExportFormat::kCsv ? csv_line(series, point) : jsonl_line(series, point));
    }));
  }
  return {};
}

Result<TensorboardExport> export_tensorboard(MetricsDb& db, const Selection& selection,
                                             const fs::path& directory, bool generated) {
  MUSTER_TRY_ASSIGN(const std::vector<Series> all, db.series());
  std::map<fs::path, std::vector<const Series*>> folders;
  for (const Series& series : all) {
    if (!selection.has(series) || (generated && is_from_events(series))) continue;
    folders[folder_of(series)].push_back(&series);
  }
  TensorboardExport done;
  done.folders = folders.size();
  for (const auto& [folder, series] : folders) {
    MUSTER_TRY_ASSIGN(EventFile file, EventFile::open(directory / folder));
    Result<> failed;
    for (const Series* each : series) {
      const std::string tag = tag_of(*each);
      MUSTER_TRY(db.points(each->id, [&](const Point& point) {
        if (!failed || (selection.since && point.time < *selection.since)) return;
        const auto added = file.add(tag, point);
        if (!added) failed = Failure(added.error());
        if (added && *added) ++done.points;
      }));
      MUSTER_TRY(failed);
    }
    MUSTER_TRY(file.flush());
  }
  return done;
}

}  // namespace muster::metrics
