// `muster metrics`: what a run's ranks measured, while it runs and afterwards.
//
// What the streams say and the database does not know yet is taken into it first, so the answer is
// the same whoever wrote the run directory: a launcher that goes on, one that was killed, a relay.

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <thread>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "base/time_text.h"
#include "collector/metrics/export.h"
#include "collector/metrics/ingest.h"
#include "collector/metrics/metrics_store.h"
#include "collector/metrics/query.h"
#include "collector/metrics/run_patterns.h"
#include "collector/metrics/tail.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/find_run.h"
#include "launcher/cli/log_request.h"
#include "launcher/report/metric_plot.h"
#include "launcher/report/metrics_text.h"
#include "launcher/report/run_state.h"
#include "launcher/report/status_line.h"

extern char** environ;

namespace muster::cli {
namespace {

using namespace std::chrono_literals;
constexpr auto kBetweenLooks = 200ms;
constexpr int kColumnsOfAPipe = 80;

struct MetricsRequest {
  metrics::Selection selection;
  std::vector<metrics::PatternSpec> patterns;
};

std::map<std::string, std::string> caller_environment() {
  std::map<std::string, std::string> variables;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view text(*each);
    const std::size_t equals = text.find('=');
    if (equals != text.npos) variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

Result<std::optional<std::int64_t>> read_since(const CommandLine& line) {
  const auto text = line.text("since");
  if (!text) return std::optional<std::int64_t>();
  std::optional<std::chrono::system_clock::time_point> time = parse_time(*text);
  if (const auto span = parse_span(*text)) time = std::chrono::system_clock::now() - *span;
  if (!time) {
    return fail(ErrorCode::kUsage, line.as_given("since") + " is neither a time nor a span",
                "write 2026-11-23T06:15:00Z, or 90s, 10m, 2h30m for so long ago");
  }
  return std::optional<std::int64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time->time_since_epoch()).count());
}

Result<> check_combinations(const CommandLine& line) {
  std::vector<std::string> given;
  for (const char* option : {"plot", "last", "follow", "export"}) {
    if (line.has(option)) given.push_back(line.name_as_given(option));
  }
  if (given.size() > 1) {
    return fail(ErrorCode::kUsage, given[0] + " and " + given[1] + " exclude each other");
  }
  if (line.has("output") && !line.has("export")) {
    return fail(ErrorCode::kUsage, line.name_as_given("output") + " needs --export");
  }
  return {};
}

Result<MetricsRequest> read_request(const CommandLine& line) {
  MUSTER_TRY(check_combinations(line));
  MetricsRequest request;
  for (const std::string& names : line.texts("name")) {
    for (std::string& name : split(names, ',')) {
      request.selection.names.push_back(std::move(name));
    }
  }
  if (const auto ranks = line.text("rank"); ranks && *ranks != "all") {
    auto list = parse_rank_list(*ranks);
    if (!list) return Failure(std::move(list).error().with_context(line.name_as_given("rank")));
    request.selection.ranks = std::move(*list);
  }
  MUSTER_TRY_ASSIGN(request.selection.since, read_since(line));
  for (const std::string& text : line.texts("pattern")) {
    auto spec = metrics::read_pattern(text);
    if (!spec) return Failure(std::move(spec).error().with_context(line.name_as_given("pattern")));
    request.patterns.push_back(std::move(*spec));
  }
  return request;
}

// The run's own, and each that was asked for by itself: what one of them has found is not looked
// for again.
Result<std::vector<metrics::Patterns>> all_patterns(const store::RunDirectory& run,
                                                    const MetricsRequest& request) {
  std::vector<metrics::Patterns> all;
  if (auto own = metrics::patterns_of_run(run); !own.empty()) all.push_back(std::move(own));
  for (const metrics::PatternSpec& spec : request.patterns) {
    MUSTER_TRY_ASSIGN(auto compiled, metrics::Patterns::compile(std::span(&spec, 1)));
    all.push_back(std::move(compiled));
  }
  return all;
}

// A run without a run.json that can be read has streams all the same.
bool goes_on(const store::RunDirectory& run) {
  const auto state = report::look_at_run(run);
  return state &&
         (state->phase == report::RunPhase::kRunning || state->phase == report::RunPhase::kUnknown);
}

Result<int> printed(std::string_view text) {
  auto result = print(text);
  if (!result) return Failure(result.error().front());
  return *result;
}

Result<int> follow(const FoundRun& run, const CommandLine& line, const MetricsRequest& request) {
  MUSTER_TRY_ASSIGN(auto patterns, all_patterns(run.directory, request));
  metrics::Tail tail(run.directory, std::move(patterns));
  const bool json = line.format == Format::kJson;
  for (bool live = true; live;) {
    live = goes_on(run.directory);
    std::string text;
    MUSTER_TRY(tail.look(!live, [&](const metrics::Origin& origin, const metrics::Sample& sample) {
      const metrics::Series series{0,           origin.rank,   origin.node,
                                   sample.name, sample.labels, origin.source};
      if (!request.selection.has(series)) return;
      text += json ? metrics::jsonl_line(
                         series, {sample.step.value_or(0), sample.time.value_or(0), sample.value})
                   : report::sample_line(origin, sample);
    }));
    MUSTER_TRY_ASSIGN(const int code, printed(text));
    if (code != 0) return code;
    if (live) std::this_thread::sleep_for(kBetweenLooks);
  }
  if (const auto end = report::look_at_run(run.directory);
      end && end->phase == report::RunPhase::kLost) {
    std::fprintf(stderr, "muster: the launcher of run %s is gone: no more will come\n",
                 run.run_id.c_str());
  }
  return 0;
}

Result<int> export_text(metrics::MetricsDb& db, const CommandLine& line,
                        const metrics::Selection& selection, metrics::ExportFormat format) {
  const std::string output = line.text("output").value_or("-");
  Fd file;
  if (output != "-") {
    auto opened = open_file(output, O_WRONLY | O_CREAT | O_TRUNC);
    if (!opened) {
      opened.error().code = ErrorCode::kRunDirectory;
      return Failure(std::move(opened).error());
    }
    file = std::move(*opened);
  }
  const Fd standard(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  Result<> failed;
  int stopped = 0;
  std::string buffer;
  const auto write = [&] {
    failed = write_all(file ? file : standard, buffer);
    if (!failed) stopped = errno;
    buffer.clear();
  };
  MUSTER_TRY(metrics::export_text(db, selection, format, [&](std::string_view text) {
    buffer += text;
    if (buffer.size() > (1U << 16)) write();
    return failed.has_value();
  }));
  if (failed) write();
  if (failed) return 0;
  if (stopped == EPIPE) return 128 + SIGPIPE;  // the reader has seen enough
  const bool to_stdout = output == "-";
  return Failure(system_error(to_stdout ? ErrorCode::kInternal : ErrorCode::kRunDirectory,
                              "writing " + (to_stdout ? "to stdout" : output), stopped));
}

Result<int> export_tensorboard(metrics::MetricsDb& db, const FoundRun& run, const CommandLine& line,
                               const metrics::Selection& selection) {
  const auto output = line.text("output");
  const std::filesystem::path directory =
      output ? std::filesystem::path(*output) : run.directory.root() / "tb";
  // In the run directory, what ranks wrote as event files is there already.
  const auto done = metrics::export_tensorboard(db, selection, directory, !output);
  if (!done) {
    Error error = done.error();
    // Somebody else's run may be read and not written.
    std::error_code ignored;
    const bool there = std::filesystem::exists(directory, ignored);
    const auto place = there ? directory : directory.parent_path();
    if (!output && ::access(place.c_str(), W_OK) != 0 && errno == EACCES) {
      error.code = ErrorCode::kPermission;
      error.hint = "--output DIR writes to a directory of your own";
    }
    return Failure(std::move(error));
  }
  return printed(counted(static_cast<std::int64_t>(done->points), "new value") + " in " +
                 counted(static_cast<std::int64_t>(done->folders), "folder") + " below " +
                 (output ? *output : run.shown_directory + "/tb") + "\n");
}

Result<int> export_all(metrics::MetricsDb& db, const FoundRun& run, const CommandLine& line,
                       const metrics::Selection& selection) {
  const std::string format = *line.text("export");
  if (format == "tensorboard") return export_tensorboard(db, run, line, selection);
  return export_text(db, line, selection,
                     format == "csv" ? metrics::ExportFormat::kCsv : metrics::ExportFormat::kJsonl);
}

// What the user should know beside the answer.
void tell_bad_lines(metrics::MetricsDb& db) {
  const auto bad = db.bad_lines();
  for (std::size_t i = 0; bad && i < bad->size(); ++i) {
    if (i == 5) {
      std::fprintf(stderr, "muster: and so in %zu more files (--json has all)\n", bad->size() - i);
      break;
    }
    const metrics::BadLines& each = (*bad)[i];
    std::fprintf(
        stderr, "muster: %s: %s could not be understood, the first is %s\n", each.stream.c_str(),
        counted(static_cast<std::int64_t>(each.count), "line").c_str(), each.example.c_str());
  }
  const auto refused = db.refused_points();
  if (refused && *refused > 0) {
    std::fprintf(stderr, "muster: the run has more than %lld series: %lld values are left out\n",
                 static_cast<long long>(metrics::MetricsDb::kMostSeries),
                 static_cast<long long>(*refused));
  }
}

Result<int> show(metrics::MetricsDb& db, const FoundRun& run, const CommandLine& line,
                 const metrics::Selection& selection) {
  MUSTER_TRY_ASSIGN(auto all, metrics::summarize(db, selection));
  report::nodes_last(all);
  report::MetricsDocument document{run.run_id, all, {}, {}, 0};
  if (line.has("plot")) {
    for (const metrics::MetricSummary& metric : all) {
      MUSTER_TRY_ASSIGN(auto bands, metrics::bands(db, metric, selection));
      document.bands.push_back(std::move(bands));
    }
  }
  if (line.format == Format::kJson) {
    MUSTER_TRY_ASSIGN(document.bad_lines, db.bad_lines());
    MUSTER_TRY_ASSIGN(document.refused_points, db.refused_points());
    return printed(report::metrics_json(document));
  }
  tell_bad_lines(db);
  if (all.empty()) {
    std::fprintf(stderr, "muster: no such metrics in run %s\n", run.run_id.c_str());
    return 0;
  }
  if (line.has("last")) return printed(report::last_values_table(all));
  if (!line.has("plot")) return printed(report::metrics_table(all));
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  report::PlotLook look;
  look.columns = terminal ? report::terminal_columns(STDOUT_FILENO) : kColumnsOfAPipe;
  look.color = terminal && report::color_wanted();
  std::string text;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i > 0) text += "\n";
    text += report::metric_plot(report::shown_name(all[i]), document.bands[i], look);
  }
  return printed(text);
}

// A run whose record cannot be read has metrics all the same.
Result<> check_ranks(const FoundRun& run, const MetricsRequest& request) {
  const auto view = report::read_run(run.directory);
  if (!view || request.selection.ranks.empty()) return {};
  const int last = request.selection.ranks.back();
  if (view->world_size == 0 || last < view->world_size) return {};
  return fail(ErrorCode::kUsage, "run " + run.run_id + " has no rank " + std::to_string(last),
              "it has " + counted(view->world_size, "rank") + ", counted from 0");
}

Result<int> answer(const FoundRun& run, const CommandLine& line, const MetricsRequest& request) {
  MUSTER_TRY(check_ranks(run, request));
  if (line.has("follow")) return follow(run, line, request);
  MUSTER_TRY_ASSIGN(auto patterns, all_patterns(run.directory, request));
  metrics::MetricsStore store(run.directory, caller_environment());
  metrics::Ingest ingest(run.directory, store, std::move(patterns));
  const bool live = goes_on(run.directory);
  MUSTER_TRY_ASSIGN(const auto look, ingest.look(!live));
  if (store.opened() == nullptr && !store.exists()) {
    if (line.format == Format::kJson) {
      const std::vector<metrics::MetricSummary> none;
      return printed(report::metrics_json({run.run_id, none, {}, {}, 0}));
    }
    std::fprintf(stderr,
                 "muster: run %s has no metrics%s: a rank writes `name value` to the FIFO in "
                 "MUSTER_METRICS, or event files of TensorBoard below ./logs\n",
                 run.run_id.c_str(), live ? " yet" : "");
    return 0;
  }
  MUSTER_TRY_ASSIGN(metrics::MetricsDb* const db, store.database());
  for (const std::string& note : store.notes()) std::fprintf(stderr, "muster: %s\n", note.c_str());
  auto code = line.has("export") ? export_all(*db, run, line, request.selection)
                                 : show(*db, run, line, request.selection);
  // Where that cannot be stored, the next one takes it from the streams again.
  if (!live && look.points > 0) static_cast<void>(store.finish());
  return code;
}

}  // namespace

CommandResult metrics_command(const CommandLine& line) {
  const auto problem = [](Error error) {
    return tl::unexpected<Problems>(Problems{std::move(error)});
  };
  auto request = read_request(line);
  if (!request) return problem(std::move(request).error());
  const auto compiled = metrics::Patterns::compile(request->patterns);
  if (!compiled) return problem(compiled.error());
  auto run = find_run(line);
  if (!run) return problem(std::move(run).error());
  auto code = answer(*run, line, *request);
  if (!code) return problem(std::move(code).error());
  return *code;
}

}  // namespace muster::cli
