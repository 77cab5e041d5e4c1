// `muster sync`: delivers to a collector what runs that have ended did not, and ends the streams of
// launchers that were killed.

#include <chrono>
#include <cstdio>
#include <thread>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/exit_code.h"
#include "base/text.h"
#include "base/time_text.h"
#include "collector/replication/store_sender.h"
#include "collector/replication/upstream_file.h"
#include "collector/store/lost_streams.h"
#include "collector/store/writer.h"
#include "launcher/cli/check_streams.h"
#include "launcher/cli/collector_client.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/find_run.h"

namespace muster::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using namespace std::chrono_literals;
using replication::SendProgress;
using Clock = std::chrono::steady_clock;

constexpr auto kLook = 10ms;
constexpr auto kFirstWord = 1s;
constexpr auto kNextWord = 5s;
constexpr std::chrono::milliseconds kPatience = 60s;

tl::unexpected<Problems> problem(Error error) {
  return tl::unexpected<Problems>(Problems{std::move(error)});
}

struct Chosen {
  std::vector<FoundRun> runs;
  bool by_name = false;  // also where everything is said to be there
};

// A directory of runs, in which those are meant that have something to deliver.
bool is_directory_of_runs(const std::string& word) {
  std::error_code error;
  return fs::is_directory(word, error) && !fs::exists(fs::path(word) / "run.json", error);
}

Result<std::vector<FoundRun>> undelivered_runs(const std::string& directory, bool address_given) {
  std::vector<FoundRun> found;
  for (FoundRun& run : list_runs(directory)) {
    const auto upstream = replication::read_upstream(run.directory);
    const bool wanted = upstream ? (*upstream ? !(*upstream)->complete : address_given) : true;
    if (wanted && !run.directory.is_locked()) found.push_back(std::move(run));
  }
  return found;
}

Result<std::vector<FoundRun>> chosen_runs(const CommandLine& line) {
  const bool address_given = line.has("collector");
  if (line.words.empty()) return undelivered_runs(line.runs_dir, address_given);
  std::vector<FoundRun> runs;
  for (const std::string& word : line.words) {
    if (is_directory_of_runs(word)) {
      MUSTER_TRY_ASSIGN(auto found, undelivered_runs(word, address_given));
      for (FoundRun& run : found) runs.push_back(std::move(run));
    } else {
      MUSTER_TRY_ASSIGN(FoundRun run, find_run(word, line.runs_dir));
      runs.push_back(std::move(run));
    }
  }
  return runs;
}

Result<std::chrono::milliseconds> patience_of(const CommandLine& line) {
  const auto text = line.text("patience");
  if (!text) return kPatience;
  if (const auto span = parse_span(*text)) return *span;
  return fail(ErrorCode::kUsage, line.as_given("patience") + " is no duration",
              "write 10s, 500ms or 1m");
}

Result<std::string> address_for(const FoundRun& run, const CommandLine& line) {
  if (const auto given = line.text("collector")) return *given;
  MUSTER_TRY_ASSIGN(const auto upstream, replication::read_upstream(run.directory));
  if (upstream) return upstream->collector;
  return fail(ErrorCode::kUsage, "run " + run.run_id + " was never sent to a collector",
              "say where to with --collector");
}

// As the config of a run says it.
Result<> check_address(const std::string& address, const CommandLine& line) {
  config::Streams streams;
  streams.collector.value = address;
  streams.collector.origin = {config::Origin::Kind::kFlag,
                              line.has("collector") ? "--collector" : "the run's upstream.json",
                              std::nullopt,
                              {}};
  Problems problems = check_streams(streams, line);
  if (problems.empty()) return {};
  return Failure(std::move(problems.front()));
}

// Newer than whoever sent this store before: that one, should it still live, is not heard again.
Result<store::Writer> next_writer(const FoundRun& run) {
  store::Writer writer;
  if (auto known = store::read_writer(run.directory)) {
    writer = std::move(*known);
  } else {
    writer.run_id = run.run_id;
    writer.name = "node-0";
  }
  const auto now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  writer.epoch = std::max(writer.epoch + 1, static_cast<std::uint64_t>(now));
  MUSTER_TRY(store::write_writer(run.directory, writer));
  return writer;
}

std::string trouble_of(const SendProgress& progress) {
  if (progress.superseded) return "it takes nothing more of this run: " + progress.superseded_by;
  if (progress.link.trouble) return progress.link.trouble->message;
  if (!progress.held_up.empty()) return progress.held_up;
  return progress.link.connected ? "it takes nothing" : "the connection ended";
}

class Delivery {
 public:
  Delivery(const FoundRun& run, std::string address, std::chrono::milliseconds patience)
      : run_(run), address_(std::move(address)), patience_(patience) {}

  // An Error of kDelivery when not everything arrived.
  Result<> run(replication::ClientSettings settings) {
    replication::StoreSenderSettings sender_settings;
    sender_settings.client = std::move(settings);
    MUSTER_TRY_ASSIGN(auto sender,
                      replication::StoreSender::start(run_.directory, std::move(sender_settings)));
    sender->close();
    const SendProgress end = wait(*sender);
    if (end.complete && end.lost_there > 0) {
      return fail(ErrorCode::kDelivery,
                  "the collector " + address_ + " has lost " + format_bytes(end.lost_there) +
                      " of run " + run_.run_id + " that were freed here: they are gaps there");
    }
    if (end.complete && end.refused_count == 0) return {};
    if (end.complete) {
      return fail(ErrorCode::kDelivery,
                  "the collector " + address_ + " did not take " +
                      counted(static_cast<std::int64_t>(end.refused_count), "stream") + " of run " +
                      run_.run_id + ": " + join(end.refused, "; "));
    }
    return fail(ErrorCode::kDelivery,
                format_bytes(end.unsent) + " of run " + run_.run_id + " are not at the collector " +
                    address_ + ": " + trouble_of(end),
                "run the same command again when it is there; it goes on where it was");
  }

 private:
  SendProgress wait(replication::StoreSender& sender) {
    auto moved_at = Clock::now();
    auto next_word = moved_at + kFirstWord;
    std::uint64_t unsent = ~std::uint64_t{0};
    while (true) {
      SendProgress progress = sender.progress();
      const auto now = Clock::now();
      if (progress.closed && (progress.complete || progress.superseded || progress.link.refused)) {
        return progress;
      }
      if (progress.unsent < unsent || !progress.closed) moved_at = now;
      unsent = progress.unsent;
      if (now - moved_at >= patience_) return progress;
      if (now >= next_word) {
        next_word = now + kNextWord;
        const std::string where = replication::whereabouts(progress.link);
        std::fprintf(stderr, "muster: run %s: %s are on their way to %s%s\n", run_.run_id.c_str(),
                     format_bytes(progress.unsent).c_str(), address_.c_str(),
                     where.empty() ? "" : (", " + where).c_str());
      }
      std::this_thread::sleep_for(kLook);
    }
  }

  const FoundRun& run_;
  const std::string address_;
  const std::chrono::milliseconds patience_;
};

Result<> sync_run(const FoundRun& run, const CommandLine& line,
                  std::chrono::milliseconds patience) {
  MUSTER_TRY_ASSIGN(const std::string address, address_for(run, line));
  MUSTER_TRY(check_address(address, line));
  if (run.directory.is_locked()) {
    return fail(ErrorCode::kUsage, "run " + run.run_id + " goes on, and its launcher delivers it",
                "wait for its end; `muster status " + run.run_id + "` shows how it fares");
  }
  const Fd lock = run.directory.lock();
  MUSTER_TRY_ASSIGN(store::Writer writer, next_writer(run));
  MUSTER_TRY_ASSIGN(const int lost, store::end_lost_streams(run.directory));
  if (lost > 0) {
    std::fprintf(stderr, "muster: run %s: its launcher was killed; %s end where they are\n",
                 run.run_id.c_str(), counted(lost, "stream").c_str());
  }
  MUSTER_TRY_ASSIGN(auto settings, client_settings(address, line, std::move(writer)));
  MUSTER_TRY(Delivery(run, address, patience).run(std::move(settings)));
  std::fprintf(stderr, "muster: run %s is at %s, all of it\n", run.run_id.c_str(), address.c_str());
  return {};
}

}  // namespace

CommandResult sync_command(const CommandLine& line) {
  const auto patience = patience_of(line);
  if (!patience) return problem(patience.error());
  auto runs = chosen_runs(line);
  if (!runs) return problem(std::move(runs).error());
  const bool json = line.format == Format::kJson;
  if (runs->empty() && !json) {
    std::fprintf(stderr, "muster: there is nothing to deliver in %s\n",
                 line.words.empty() ? line.runs_dir.c_str() : join(line.words, ", ").c_str());
    return 0;
  }
  Problems problems;
  Json rows = Json::array();
  for (const FoundRun& run : *runs) {
    auto synced = sync_run(run, line, *patience);
    rows.push_back({{"run_id", run.run_id},
                    {"run_directory", run.directory.root().string()},
                    {"delivered", synced.has_value()},
                    {"problem", synced ? Json(nullptr) : Json(synced.error().message)}});
    if (!synced) problems.push_back(std::move(synced).error());
  }
  if (json) {
    const Json all = {{"complete", problems.empty()}, {"runs", std::move(rows)}};
    auto printed = print(all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    if (!printed || problems.empty()) return printed;
  }
  if (problems.empty()) return 0;
  return tl::unexpected<Problems>(std::move(problems));
}

}  // namespace muster::cli
