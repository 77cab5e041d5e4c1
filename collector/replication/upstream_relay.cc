#include "collector/replication/upstream_relay.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <system_error>

#include "base/text.h"
#include "collector/store/run_directory.h"

namespace muster::replication {
namespace {

constexpr std::chrono::seconds kPause{1};

std::string host_name() {
  std::array<char, 65> name{};
  static_cast<void>(::gethostname(name.data(), name.size() - 1));
  return name.data();
}

// Another writer than the run's own: what comes through a relay is fenced against other relays'.
store::Writer writer_of(const std::string& run_id) {
  const std::string host = host_name();
  std::string name = "relay-";
  for (const char c : host.substr(0, 50)) {
    const bool fits = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                      c == '.' || c == '_' || c == '-';
    name += fits ? c : '-';
  }
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto epoch = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  return {.run_id = run_id,
          .name = name,
          .node = host,
          .lowest_rank = 0,
          .epoch = static_cast<std::uint64_t>(epoch)};
}

std::string all_but(const SendProgress& progress) {
  if (progress.refused_count == 0) return "";
  return ", but for " + counted(static_cast<std::int64_t>(progress.refused_count), "stream") +
         ": " + join(progress.refused, "; ");
}

}  // namespace

UpstreamRelay::UpstreamRelay(EventLoop& loop, std::filesystem::path store, ClientSettings client,
                             Log log)
    : loop_(loop), store_(std::move(store)), client_(std::move(client)), log_(std::move(log)) {
  timer_ = loop_.at(EventLoop::Clock::now(), [this] { look(); });
}

void UpstreamRelay::add(const std::string& run_id) {
  StoreSenderSettings settings;
  settings.client = client_;
  settings.client->writer = writer_of(run_id);
  settings.polls = true;
  auto sender = StoreSender::start(store::RunDirectory(store_ / run_id), std::move(settings));
  if (!sender) return log_("passing on " + run_id + ": " + sender.error().message);
  senders_[run_id] = std::move(*sender);
}

void UpstreamRelay::look() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(store_, error)) {
    const std::string run_id = entry.path().filename();
    if (run_id.starts_with('.') || !entry.is_directory(error) || senders_.contains(run_id))
      continue;
    // One that was passed on is looked at again when somebody sends more of it.
    if (complete_.contains(run_id) && !store::RunDirectory(entry.path()).is_locked()) continue;
    complete_.erase(run_id);
    add(run_id);
  }
  std::string trouble;
  for (auto each = senders_.begin(); each != senders_.end();) {
    const SendProgress progress = each->second->progress();
    if (progress.link.trouble) trouble = progress.link.trouble->message;
    if (progress.superseded) trouble = each->first + " is not taken: " + progress.superseded_by;
    const bool comes = store::RunDirectory(store_ / each->first).is_locked();
    if (progress.run_is_over && !comes && !progress.closed) each->second->close();
    if (progress.closed && progress.complete) {
      log_(each->first + " has been passed on" + all_but(progress));
      complete_.insert(each->first);
      each = senders_.erase(each);
    } else {
      ++each;
    }
  }
  if (!trouble.empty() && trouble != trouble_) log_("passing on runs: " + trouble);
  trouble_ = trouble;
  timer_ = loop_.at(EventLoop::Clock::now() + kPause, [this] { look(); });
}

}  // namespace muster::replication
