#include "launcher/cli/log_request.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "base/time_text.h"
#include "launcher/report/clock_offsets.h"

namespace muster::cli {
namespace {

namespace fs = std::filesystem;
using plan::WallTime;

constexpr int kMostRanks = 100'000;

constexpr std::array<std::pair<std::string_view, LogKind>, 6> kKinds{
    {{"stdout", LogKind::kStdout},
     {"stderr", LogKind::kStderr},
     {"metrics", LogKind::kMetrics},
     {"mpirun", LogKind::kMpirun},
     {"launcher", LogKind::kLauncher},
     {"events", LogKind::kEvents}}};

// As they are said in a hurry.
constexpr std::array<std::pair<std::string_view, LogKind>, 2> kShortNames{
    {{"out", LogKind::kStdout}, {"err", LogKind::kStderr}}};

std::string name_of(LogKind kind) {
  for (const auto& [name, each] : kKinds) {
    if (each == kind) return std::string(name);
  }
  return "";
}

bool is_of_a_rank(LogKind kind) {
  return kind == LogKind::kStdout || kind == LogKind::kStderr || kind == LogKind::kMetrics;
}

std::optional<LogKind> kind_of_name(std::string_view word) {
  for (const auto& [name, kind] : kKinds) {
    if (name == word) return kind;
  }
  for (const auto& [name, kind] : kShortNames) {
    if (name == word) return kind;
  }
  return std::nullopt;
}

// "1" of " 1 ": a list may have been written as people write them.
std::string_view without_spaces(std::string_view text) {
  const std::size_t first = text.find_first_not_of(' ');
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

Failure wrong_rank_list(std::string_view text) {
  return fail(ErrorCode::kUsage, "\"" + std::string(text) + "\" is no list of ranks",
              "write ranks and ranges: 0,2-3");
}

Result<std::vector<LogKind>> parse_kinds(const CommandLine& line) {
  std::vector<LogKind> kinds;
  const auto add = [&](LogKind kind) {
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) kinds.push_back(kind);
  };
  for (const std::string& given : split(line.text("stream").value_or("both"), ',')) {
    const std::string word(without_spaces(given));
    if (word == "both") {
      add(LogKind::kStdout);
      add(LogKind::kStderr);
      continue;
    }
    const auto kind = kind_of_name(word);
    if (!kind) {
      const std::vector<std::string> names = stream_names();
      const std::string near = did_you_mean_hint(word, names);
      return fail(ErrorCode::kUsage,
                  line.as_given("stream") + ": there is no stream \"" + word + "\"",
                  near.empty() ? "write one or more of " + join(names, ", ") : near);
    }
    add(*kind);
  }
  return kinds;
}

Result<std::optional<int>> parse_number(const CommandLine& line, const std::string& option,
                                        int most) {
  const auto text = line.text(option);
  if (!text) return std::optional<int>();
  const auto number = parse_integer(*text);
  if (number && *number >= 0 && *number <= most) return std::optional(static_cast<int>(*number));
  return fail(ErrorCode::kUsage,
              line.as_given(option) + " is no number from 0 to " + std::to_string(most));
}

Result<> check_combinations(const CommandLine& line, const LogRequest& request) {
  const report::LogOptions& options = request.options;
  if (options.raw && (options.merge || options.timestamps)) {
    return fail(ErrorCode::kUsage,
                line.name_as_given("raw") + " and " +
                    line.name_as_given(options.merge ? "merge" : "timestamps") +
                    " exclude each other",
                "--raw prints the bytes of each stream as they are stored");
  }
  if (options.raw && (options.json || options.grep || options.head)) {
    return fail(ErrorCode::kUsage,
                line.name_as_given("raw") + " and " +
                    line.name_as_given(options.json   ? "json"
                                       : options.grep ? "grep"
                                                      : "head") +
                    " exclude each other",
                "--raw prints the bytes of each stream as they are stored");
  }
  if (options.head && options.tail) {
    return fail(
        ErrorCode::kUsage,
        line.name_as_given("head") + " and " + line.name_as_given("tail") + " exclude each other",
        "leave out one of them");
  }
  if (options.json && options.timestamps) {
    return fail(ErrorCode::kUsage,
                line.name_as_given("json") + " and " + line.name_as_given("timestamps") +
                    " exclude each other",
                "each object has its \"time\" anyway");
  }
  if (request.follow && options.until) {
    return fail(ErrorCode::kUsage,
                line.name_as_given("follow") + " and " + line.name_as_given("until") +
                    " exclude each other",
                "leave out one of them");
  }
  if (options.since && options.until && *options.until < *options.since) {
    return fail(ErrorCode::kUsage,
                line.name_as_given("until") + " is before " + line.name_as_given("since"));
  }
  return {};
}

fs::path rank_file(const store::RunDirectory& run, LogKind kind, int rank, int attempt) {
  switch (kind) {
    case LogKind::kStderr: return run.rank_stderr(rank, attempt);
    case LogKind::kMetrics: return run.rank_metrics(rank, attempt);
    default: return run.rank_stdout(rank, attempt);
  }
}

Result<int> attempt_of(const LogRequest& request, const report::RunView& view) {
  const int last = view.attempts.empty() ? 0 : view.attempts.back().attempt;
  if (!request.attempt || *request.attempt <= last) return request.attempt.value_or(last);
  return fail(
      ErrorCode::kUsage,
      "run " + view.run_id + " has no attempt " + std::to_string(*request.attempt),
      last == 0 ? "it has one attempt, 0" : "its attempts are 0 to " + std::to_string(last));
}

Result<std::vector<int>> ranks_of(const LogRequest& request, const report::RunView& view) {
  std::vector<int> ranks = request.ranks;
  if (ranks.empty()) {
    for (int rank = 0; rank < view.world_size; ++rank) ranks.push_back(rank);
    return ranks;
  }
  if (ranks.back() < view.world_size) return ranks;
  return fail(ErrorCode::kUsage,
              "run " + view.run_id + " has no rank " + std::to_string(ranks.back()),
              "it has " + counted(view.world_size, "rank") + ", counted from 0");
}

// The launchers' own, and what agents say when there is no mpirun to say it to.
std::vector<fs::path> launcher_logs(const store::RunDirectory& run) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator at(run.root() / "launcher", error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().extension() == ".log") files.push_back(at->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Which node writes what: every node has as many ranks as the next.
std::string writer_of(const report::LogSource& source, const report::RunView& view) {
  const int nodes = std::max(static_cast<int>(view.hostnames.size()), 1);
  int node = 0;
  if (source.labels.rank) {
    node = *source.labels.rank / std::max(view.world_size / nodes, 1);
  } else if (!source.labels.node.empty()) {
    const auto at = std::find(view.hostnames.begin(), view.hostnames.end(), source.labels.node);
    if (at != view.hostnames.end()) node = static_cast<int>(at - view.hostnames.begin());
  }
  return "node-" + std::to_string(node);
}

// Beside other streams one that there is none of says nothing.
Result<> add_node_sources(const LogRequest& request, LogKind kind, const store::RunDirectory& run,
                          const report::RunView& view, std::vector<report::LogSource>& sources) {
  switch (kind) {
    case LogKind::kLauncher:
      for (const fs::path& file : launcher_logs(run)) {
        const std::string name = file.stem().string();
        sources.push_back({file,
                           "[" + without_controls(name) + "] ",
                           false,
                           name != "agents",
                           {std::nullopt, name, "launcher"}});
      }
      return {};
    case LogKind::kEvents:
      sources.push_back(
          {run.events_jsonl(), "[events] ", false, true, {std::nullopt, "", "events"}});
      return {};
    default: break;
  }
  std::error_code ignored;
  if (!view.is_unfinished() && !fs::exists(run.mpirun_log(), ignored)) {
    if (request.kinds.size() > 1) return {};
    return fail(ErrorCode::kUsage, "run " + view.run_id + " has no mpirun.log",
                "it was started without mpirun");
  }
  sources.push_back({run.mpirun_log(), "[mpirun] ", false, false, {std::nullopt, "", "mpirun"}});
  return {};
}

}  // namespace

std::vector<std::string> stream_names() {
  std::vector<std::string> names{"both"};
  for (const auto& [name, kind] : kKinds) names.emplace_back(name);
  return names;
}

Result<std::optional<WallTime>> parse_moment(const CommandLine& line, const std::string& option,
                                             WallTime now) {
  const auto text = line.text(option);
  if (!text) return std::optional<WallTime>();
  if (const auto span = parse_span(*text)) return std::optional(now - *span);
  if (const auto time = parse_time(*text)) return time;
  if (const auto day = parse_time(*text + "T00:00:00Z")) return day;
  return fail(ErrorCode::kUsage, line.as_given(option) + " is neither a time nor a span",
              "write 2026-11-23T06:15:00Z, or 90s, 10m, 2h30m for so long ago");
}

Result<std::vector<int>> parse_rank_list(std::string_view text) {
  std::vector<int> ranks;
  for (const std::string& each : split(text, ',')) {
    const std::string_view part = without_spaces(each);
    const std::size_t dash = part.find('-', 1);
    const auto first = parse_integer(part.substr(0, dash));
    const auto last = dash == part.npos ? first : parse_integer(part.substr(dash + 1));
    if (!first || !last || *first < 0 || *last < *first || *last >= kMostRanks) {
      return wrong_rank_list(text);
    }
    for (auto rank = *first; rank <= *last; ++rank) ranks.push_back(static_cast<int>(rank));
  }
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  return ranks;
}

Result<LogRequest> read_log_request(const CommandLine& line, WallTime now) {
  LogRequest request;
  request.follow = line.has("follow");
  request.prefix = !line.has("no-prefix");
  request.options.raw = line.has("raw");
  request.options.merge = line.has("merge");
  request.options.timestamps = line.has("timestamps");
  MUSTER_TRY_ASSIGN(request.kinds, parse_kinds(line));
  MUSTER_TRY_ASSIGN(request.options.since, parse_moment(line, "since", now));
  MUSTER_TRY_ASSIGN(request.options.until, parse_moment(line, "until", now));
  MUSTER_TRY_ASSIGN(request.attempt, parse_number(line, "attempt", kMostRanks));
  MUSTER_TRY_ASSIGN(const std::optional<int> tail, parse_number(line, "tail", 1'000'000'000));
  if (tail) request.options.tail = static_cast<std::uint64_t>(*tail);
  MUSTER_TRY_ASSIGN(const std::optional<int> head, parse_number(line, "head", 1'000'000'000));
  if (head) request.options.head = static_cast<std::uint64_t>(*head);
  request.options.json = line.format == Format::kJson;
  if (const auto pattern = line.text("grep")) {
    auto filter = report::LineFilter::create(*pattern);
    if (!filter) return Failure(std::move(filter).error().with_context(line.name_as_given("grep")));
    request.options.grep = std::move(*filter);
  }
  if (const auto ranks = line.text("rank"); ranks && *ranks != "all") {
    auto list = parse_rank_list(*ranks);
    if (!list) return Failure(std::move(list).error().with_context(line.name_as_given("rank")));
    request.ranks = std::move(*list);
  }
  MUSTER_TRY(check_combinations(line, request));
  return request;
}

Result<std::vector<report::LogSource>> log_sources(const LogRequest& request,
                                                   const store::RunDirectory& run,
                                                   const report::RunView& view) {
  MUSTER_TRY_ASSIGN(const int attempt, attempt_of(request, view));
  MUSTER_TRY_ASSIGN(const std::vector<int> ranks, ranks_of(request, view));
  std::vector<report::LogSource> sources;
  for (const int rank : ranks) {
    for (const LogKind kind : request.kinds) {
      if (!is_of_a_rank(kind)) continue;
      const bool to_stderr =
          kind == LogKind::kStderr && !request.options.merge && !request.options.json;
      sources.push_back({rank_file(run, kind, rank, attempt),
                         "[" + std::to_string(rank) + "] ",
                         to_stderr,
                         false,
                         {rank, "", name_of(kind)}});
    }
  }
  for (const LogKind kind : request.kinds) {
    if (!is_of_a_rank(kind)) MUSTER_TRY(add_node_sources(request, kind, run, view, sources));
  }
  const report::ClockOffsets clocks = report::read_clock_offsets(run.clock_jsonl());
  for (report::LogSource& source : sources) {
    const auto clock = clocks.find(writer_of(source, view));
    if (clock != clocks.end()) source.clock_ahead = clock->second;
    source.path = source.file.lexically_relative(run.root()).generic_string();
  }
  const bool all_alike = std::all_of(sources.begin(), sources.end(), [&](const auto& source) {
    return source.prefix == sources.front().prefix;
  });
  if (all_alike || !request.prefix) {
    for (report::LogSource& source : sources) source.prefix.clear();
  }
  return sources;
}

}  // namespace muster::cli
