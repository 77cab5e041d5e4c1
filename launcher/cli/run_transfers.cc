#include "launcher/cli/run_transfers.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <unistd.h>

#include "base/cache_directory.h"
#include "base/files.h"
#include "base/text.h"
#include "launcher/cli/console_setup.h"
#include "launcher/data/cache.h"
#include "launcher/data/environment_file.h"
#include "launcher/data/transfer_outcome.h"
#include "launcher/data/transfer_rclone.h"
#include "launcher/data/transfer_spec.h"

namespace muster::cli {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using plan::DataItem;
using plan::DataMeans;
using plan::DataPlace;

constexpr auto kToldEvery = 5s;  // on a pipe; a terminal has its status line
// It gives up by itself; this is for one that cannot even say so.
constexpr auto kSilence = 30s;
constexpr std::size_t kShownNames = 5;

std::string place_of(const DataItem& item) {
  return item.written.empty() && item.place ? item.place->location : item.written;
}

// One transfer while it runs.
struct Transfer {
  DataItem& item;
  data::TransferSpec spec;
  data::Variables secrets = {};
  data::TransferState state = {};
  std::optional<data::TransferOutcome> outcome = {};
  std::optional<Error> failure = {};
  Clock::time_point began = Clock::now();
  Clock::time_point heard = Clock::now();
  Clock::time_point told = Clock::now();
  bool waited = false;
};

class Transfers {
 public:
  explicit Transfers(const PreparationContext& context)
      : context_(context), terminal_(is_terminal(STDERR_FILENO)) {}

  Result<> add(DataItem& item, data::TransferDirection direction) {
    auto made = std::make_unique<Transfer>(Transfer{item, {}});
    data::TransferSpec& spec = made->spec;
    spec.direction = direction;
    spec.name = item.name;
    spec.shown = place_of(item);
    spec.overwrite = item.overwrite;
    spec.stall_timeout = context_.plan.limits.transfer_stall_timeout.value;
    spec.on_behalf_of = "run " + context_.directory.root().filename().string() + " (process " +
                        std::to_string(::getpid()) + " on " + hostname() + ")";
    const bool file = item.type == config::DataType::kFile;
    if (file) spec.type = data::TransferType::kFile;
    const DataPlace& place = *item.place;
    std::string far = place.path;
    if (place.kind == DataPlace::Kind::kRclone) {
      spec.by = data::TransferBy::kRclone;
      far = place.location;
      spec.rclone = {context_.plan.data.rclone};
      if (!place.config_file.empty()) {
        spec.rclone.insert(spec.rclone.end(), {"--config", place.config_file});
      }
      for (const std::string& word : data::options_for_copies(place.options)) {
        spec.rclone.push_back(word);
      }
    }
    if (direction == data::TransferDirection::kDownload) {
      MUSTER_TRY_ASSIGN(const fs::path cache,
                        cache_directory(context_.run.inputs.caller_environment));
      spec.cache = (cache / "data").string();
      spec.source = far;
    } else {
      spec.source = item.link_target;
      spec.target = far;
    }
    if (!place.environment_file.empty()) {
      MUSTER_TRY_ASSIGN(made->secrets, data::read_environment_file(place.environment_file));
    }
    all_.push_back(std::move(made));
    return {};
  }

  bool empty() const { return all_.empty(); }
  const std::vector<std::unique_ptr<Transfer>>& all() const { return all_; }

  // All beside each other.
  Result<> run(Preparation& preparation, std::optional<Clock::time_point> until) {
    std::vector<HelperTask> tasks;
    for (const auto& each : all_) {
      MUSTER_TRY_ASSIGN(HelperTask task, task_of(*each));
      if (until) {
        task.deadline = std::max(
            1ms, std::chrono::duration_cast<std::chrono::milliseconds>(*until - Clock::now()));
      }
      tasks.push_back(std::move(task));
    }
    auto ended = preparation.run(std::move(tasks));
    if (terminal_) context_.console.set_status("");
    return ended;
  }

  // "input digits on node-a"
  std::string name_of(const Transfer& transfer) const {
    return data::subject_of(transfer.spec) + " on " + hostname();
  }

  // What the program itself said of its failure, which is more than how it ended.
  Error explained(Error error) const {
    for (const auto& each : all_) {
      if (each->failure) return explained(*each);
    }
    return error;
  }

  Error explained(const Transfer& transfer) const {
    Error error = *transfer.failure;
    error.message =
        "node " + hostname() + ": " + data::without_values(error.message, transfer.secrets);
    error.location = transfer.item.origin.location;
    return error;
  }

 private:
  const std::string& hostname() const { return context_.plan.nodes.front().hostname; }

  Result<HelperTask> task_of(Transfer& transfer) {
    const bool download = transfer.spec.direction == data::TransferDirection::kDownload;
    const fs::path file =
        context_.runtime.runtime.path() / ("transfer-" + transfer.spec.name + ".json");
    MUSTER_TRY(replace_file(file, data::to_json(transfer.spec)));
    MUSTER_TRY_ASSIGN(const fs::path program, own_executable());
    std::map<std::string, std::string> environment = context_.run.inputs.caller_environment;
    for (const auto& [name, value] : transfer.secrets) environment[name] = value;

    HelperTask task;
    task.name = std::string(download ? "downloading " : "uploading ") + name_of(transfer);
    task.spec.program = program.string();
    task.spec.argv = {"muster", "transfer", "--spec", file.string()};
    for (const auto& [name, value] : environment) {
      task.spec.environment.push_back(name + "=" + value);
    }
    task.spec.parent_death_signal = SIGKILL;
    // What it says with a secret in its environment is not kept as it is.
    if (transfer.secrets.empty()) {
      task.log =
          context_.directory.root() / "launcher" / ("transfer-" + transfer.spec.name + ".log");
    }
    task.on_line = [this, &transfer](std::string_view line) { heard(transfer, line); };
    task.check = [&transfer]() -> Result<> {
      const bool waiting = transfer.state.phase == data::TransferState::Phase::kWaiting;
      if (waiting || Clock::now() - transfer.heard < transfer.spec.stall_timeout + kSilence) {
        return {};
      }
      return fail(ErrorCode::kData, "nothing has moved for " +
                                        format_duration(Clock::now() - transfer.heard) +
                                        "; the last file was " + transfer.state.at);
    };
    return task;
  }

  void heard(Transfer& transfer, std::string_view line) {
    data::TransferLine said = data::parse_transfer_line(line);
    transfer.heard = Clock::now();
    if (said.failure) transfer.failure = std::move(said.failure);
    if (said.state) {
      transfer.state = std::move(*said.state);
      told(transfer);
    }
    if (said.outcome) {
      transfer.outcome = std::move(said.outcome);
      ended(transfer);
    }
    show_status();
  }

  void say(const std::string& text) {
    context_.console.print("muster: " + text);
    context_.recorder.notice(text);
  }

  void told(Transfer& transfer) {
    const auto now = Clock::now();
    const std::string text =
        data::subject_of(transfer.spec) + ": " + data::describe(transfer.state);
    if (transfer.state.phase == data::TransferState::Phase::kWaiting) {
      if (!transfer.waited) say(text + ", which fetches the same");
      transfer.waited = true;
    } else if (!terminal_ && now - transfer.told >= kToldEvery) {
      transfer.told = now;
      context_.console.print("muster: " + text);
    }
  }

  void ended(const Transfer& transfer) {
    const data::TransferOutcome& outcome = *transfer.outcome;
    const bool download = transfer.spec.direction == data::TransferDirection::kDownload;
    context_.recorder.event(download ? "input_downloaded" : "output_uploaded",
                            {{"name", transfer.spec.name},
                             {"files", outcome.files},
                             {"bytes", outcome.bytes},
                             {"moved_bytes", outcome.moved_bytes},
                             {"from_cache", outcome.hit},
                             {"refused", outcome.refused.size()}});
    std::string text = data::subject_of(transfer.spec) + ": " + data::describe(outcome);
    if (!outcome.hit) text += " in " + format_duration(Clock::now() - transfer.began);
    if (download) say(text);
    for (const std::string& each : outcome.remarks) {
      say("warning: " + data::subject_of(transfer.spec) + ": " + each);
    }
  }

  void show_status() {
    if (!terminal_) return;
    std::string text;
    std::size_t others = 0;
    for (const auto& each : all_) {
      if (each->outcome || each->failure) continue;
      if (text.empty()) {
        text = data::subject_of(each->spec) + ": " + data::describe(each->state);
      } else {
        ++others;
      }
    }
    if (others > 0) text += " (and " + std::to_string(others) + " more)";
    context_.console.set_status(text);
  }

  const PreparationContext& context_;
  bool terminal_;
  std::vector<std::unique_ptr<Transfer>> all_;
};

// "a, b and 3 more"
std::string some_of(const std::vector<std::string>& names) {
  const std::size_t shown = std::min(names.size(), kShownNames);
  std::string text = join(std::span(names).first(shown), ", ");
  if (names.size() > shown) text += " and " + std::to_string(names.size() - shown) + " more";
  return text;
}

bool has_files(const fs::path& folder) {
  std::error_code error;
  const fs::directory_iterator entries(folder, error);
  return !error && entries != fs::directory_iterator();
}

}  // namespace

Result<> download_inputs(const PreparationContext& context, Preparation& preparation) {
  Transfers transfers(context);
  for (DataItem& item : context.plan.data.items) {
    if (item.means == DataMeans::kDownload) {
      MUSTER_TRY(transfers.add(item, data::TransferDirection::kDownload));
    }
  }
  if (transfers.empty()) return {};
  if (auto ended = transfers.run(preparation, std::nullopt); !ended) {
    if (ended.error().code == ErrorCode::kStopped) return ended;
    return Failure(transfers.explained(std::move(ended).error()));
  }
  for (const auto& each : transfers.all()) {
    if (!each->outcome) {
      return fail(ErrorCode::kInternal,
                  transfers.name_of(*each) + ": its program did not say where it is");
    }
    // From here on `muster cache prune` leaves it alone.
    MUSTER_TRY_ASSIGN(Fd held, data::use_entry(each->outcome->entry));
    context.held.push_back(std::move(held));
    each->item.link_target = each->outcome->content;
  }
  return {};
}

Uploads upload_outputs(const PreparationContext& context, const plan::RunOutcome& outcome) {
  Uploads uploads;
  const auto failed = [&](const DataItem& item, Error error) {
    error.code = ErrorCode::kData;
    error.message = "output " + item.name + " is not complete in " + place_of(item) + ": " +
                    error.message + "; its files are in " + item.link_target;
    uploads.failures.push_back(std::move(error));
  };
  // One after the other: when the first fails the next still gets its chance.
  for (DataItem& item : context.plan.data.items) {
    if (item.means != DataMeans::kUpload) continue;
    if (!has_files(item.link_target)) {
      uploads.said.push_back("output " + item.name + ": no file was written, none uploaded");
      continue;
    }
    Transfers transfers(context);
    if (auto added = transfers.add(item, data::TransferDirection::kUpload); !added) {
      failed(item, std::move(added).error());
      continue;
    }
    Preparation preparation(context.stops);
    const auto ended = transfers.run(preparation, outcome.finish_by);
    const Transfer& transfer = *transfers.all().front();
    if (!ended || !transfer.outcome) {
      failed(item, transfer.failure ? transfers.explained(transfer)
                   : ended          ? Error{ErrorCode::kData, "its program said nothing"}
                                    : ended.error());
      continue;
    }
    const data::TransferOutcome& done = *transfer.outcome;
    if (done.moved_files > 0 || done.refused.empty()) {
      uploads.said.push_back(
          "output " + item.name + ": " +
          counted(static_cast<std::int64_t>(done.files - done.refused.size()), "file") + " in " +
          place_of(item) + " (" + format_bytes(done.moved_bytes) + " uploaded)");
    }
    if (!done.refused.empty()) {
      const auto count = static_cast<std::int64_t>(done.refused.size());
      failed(item, {ErrorCode::kData,
                    counted(count, "name") + (count == 1 ? " exists" : " exist") +
                        " there and may not be replaced (" + some_of(done.refused) + ")",
                    "set outputs." + item.name + ".overwrite to true, or choose another path"});
    }
  }
  return uploads;
}

}  // namespace muster::cli
