#include "launcher/exec/replication_follower.h"

#include <algorithm>
#include <thread>

#include "base/text.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
using replication::SendProgress;
using Clock = std::chrono::steady_clock;

constexpr auto kLook = 10ms;
constexpr auto kFirstWord = 1s;  // most deliveries are done before anybody wonders
constexpr auto kNextWord = 5s;
constexpr auto kBetweenWords = 30s;
constexpr auto kHasRoomFor = 2500ms;  // it tries every second
constexpr std::size_t kListed = 4;

std::string why(const SendProgress& progress) {
  if (progress.superseded) return "it takes nothing more of this run: " + progress.superseded_by;
  if (progress.link.trouble) return progress.link.trouble->message;
  if (progress.link.connected) return progress.held_up;
  return "the connection ended";
}

void add_dropped(plan::Incomplete& incomplete, const SendProgress& progress) {
  incomplete.dropped_bytes = progress.dropped;
  incomplete.dropped_ranges = progress.dropped_ranges;
}

// ", which is not there"
std::string absence(const SendProgress& progress) {
  if (progress.link.connected && !progress.held_up.empty()) return ", which has no room now";
  const std::string where = replication::whereabouts(progress.link);
  return where.empty() ? "" : ", " + where;
}

}  // namespace

Result<std::unique_ptr<ReplicationFollower>> ReplicationFollower::create(
    store::RunDirectory run, replication::StoreSenderSettings sender, DeliverySettings settings,
    DeliveryListener listener) {
  std::unique_ptr<ReplicationFollower> follower(
      new ReplicationFollower(std::move(run), std::move(settings), std::move(listener)));
  sender.told = [self = follower.get()](const SendProgress& progress) { self->told(progress); };
  if (sender.client) {
    MUSTER_TRY(follower->begin(std::move(sender)));
  } else {
    follower->later_ = std::move(sender);
  }
  return follower;
}

ReplicationFollower::ReplicationFollower(store::RunDirectory run, DeliverySettings settings,
                                         DeliveryListener listener)
    : run_(std::move(run)), settings_(std::move(settings)), listener_(std::move(listener)) {}

Result<> ReplicationFollower::begin(replication::StoreSenderSettings sender) {
  MUSTER_TRY_ASSIGN(sender_, replication::StoreSender::start(run_, std::move(sender)));
  return {};
}

void ReplicationFollower::start() {
  if (!later_) return;
  // Without a collector nothing of it can fail.
  static_cast<void>(begin(std::move(*later_)));
  later_.reset();
}

void ReplicationFollower::grown() {
  if (sender_) sender_->grown();
}

void ReplicationFollower::told(const SendProgress& progress) {
  const std::lock_guard lock(mutex_);
  listener_.progress(progress);
  if (record_is_closed_) return;
  if (progress.link.connected && !std::exchange(connected_, true)) {
    listener_.event("collector_connected", settings_.collector, progress.unsent);
    if (said_absent_) listener_.say("muster: the collector " + settings_.collector + " is there");
  }
  if (progress.link.refused && !std::exchange(refused_, true)) {
    connected_ = false;
    said_absent_ = true;
    listener_.event("collector_refused", why(progress), progress.unsent);
    listener_.say("muster: warning: the collector " + settings_.collector +
                  " does not take this run: " + why(progress) +
                  "; the run goes on, and what it stores stays here");
  }
  const bool away = !progress.link.connected && progress.link.trouble.has_value();
  if (away && std::exchange(connected_, false)) {
    listener_.event("collector_lost", why(progress), progress.unsent);
    said_absent_ = false;
  }
  // Told once for each time that it is away; the run does not wait for it.
  if (away && !progress.superseded && !std::exchange(said_absent_, true)) {
    listener_.say("muster: warning: the collector " + settings_.collector +
                  (progress.link.answers ? " takes nothing now (" : " is not there (") +
                  why(progress) + "); the run goes on, and it is tried again");
  }
  if (progress.link.connected) tell_held_up(progress);
  if (progress.superseded && !std::exchange(superseded_, true)) {
    listener_.event("collector_refused", why(progress), progress.unsent);
    listener_.say("muster: warning: nothing more goes to the collector: " + why(progress));
  }
  if (progress.lost_there > lost_there_) {
    lost_there_ = progress.lost_there;
    listener_.event("collector_rollback", lost_text(progress), progress.unsent);
    listener_.say("muster: warning: " + lost_text(progress));
  }
  if (progress.dropped > 0 && !std::exchange(dropped_, true)) {
    listener_.event("streams_dropped", "streams.max_size is reached", progress.unsent);
    listener_.say(
        "muster: warning: streams.max_size is reached: the oldest output is dropped; "
        "the gaps are recorded");
  }
  if (progress.waits != waited_) {
    waited_ = progress.waits;
    listener_.event(waited_ ? "ranks_wait" : "ranks_go_on", "streams.max_size", progress.unsent);
  }
  if (!progress.cannot_free.empty() && !std::exchange(cannot_free_, true)) {
    listener_.event("cannot_free", progress.cannot_free, progress.unsent);
    listener_.say(
        "muster: warning: the file system gives no room back, so streams.max_size is "
        "not kept: " +
        progress.cannot_free);
  }
}

// A disk at its edge is full again with the next bytes: it has room when that has held for a while.
void ReplicationFollower::tell_held_up(const SendProgress& progress) {
  const auto now = Clock::now();
  if (!progress.held_up.empty()) {
    has_room_since_.reset();
    if (std::exchange(held_up_, true)) return;
    listener_.event("collector_full", progress.held_up, progress.unsent);
  } else {
    if (!held_up_) return;
    if (!has_room_since_) has_room_since_ = now;
    if (!progress.streams_complete && now - *has_room_since_ < kHasRoomFor) return;
    held_up_ = false;
    listener_.event("collector_has_room", settings_.collector, progress.unsent);
  }
  say_held_up(progress.held_up);
}

void ReplicationFollower::say_held_up(const std::string& reason) {
  const auto now = Clock::now();
  if (!reason.empty() && (!held_up_said_at_ || now - *held_up_said_at_ > kBetweenWords)) {
    held_up_said_at_ = now;
    held_up_said_ = true;
    listener_.say("muster: warning: the collector " + settings_.collector +
                  " takes less for now (" + reason +
                  "); the run goes on, and what it lacks stays here");
  }
  if (reason.empty() && std::exchange(held_up_said_, false)) {
    listener_.say("muster: the collector " + settings_.collector + " takes everything again");
  }
}

FollowerEnd ReplicationFollower::finish(const FinishLimits& limits) {
  if (!sender_) return {};
  if (settings_.collector.empty()) {
    FollowerEnd end;
    add_dropped(end.incomplete, sender_->progress());
    sender_.reset();
    return end;
  }
  until_ = Clock::now() + settings_.drain_timeout;
  sender_->close_streams();
  const SendProgress progress = wait_until(
      [](const SendProgress& now) { return now.streams_closed && now.streams_complete; }, limits);
  told(progress);  // what waits to be told belongs before the end
  FollowerEnd end = end_of(progress);
  add_dropped(end.incomplete, progress);
  listener_.progress(progress);
  if (!progress.streams_complete) sender_.reset();
  return end;
}

// What happens from here on is told by the run's own record alone, which is replaced as a whole:
// lines behind the end of a stream could never be delivered.
FollowerEnd ReplicationFollower::finish_record(const FinishLimits& limits) {
  if (!sender_) return {};
  {
    const std::lock_guard lock(mutex_);
    record_is_closed_ = true;
  }
  sender_->close();
  const SendProgress progress =
      wait_until([](const SendProgress& now) { return now.closed && now.complete; }, limits);
  FollowerEnd end;
  if (!progress.complete) {
    end.failure = Error{ErrorCode::kDelivery, where_it_is(progress), "", std::nullopt};
  } else if (progress.lost_there > lost_there_) {
    end.failure = Error{ErrorCode::kDelivery, lost_text(progress), "", std::nullopt};
  } else if (progress.refused_count > refused_count_) {
    end.failure = Error{ErrorCode::kDelivery, not_taken(progress), "", std::nullopt};
  }
  if (end.failure) {
    end.incomplete.undelivered = true;
    end.incomplete.undelivered_bytes = progress.unsent;
  }
  listener_.progress(progress);
  sender_.reset();
  return end;
}

void ReplicationFollower::say(const std::string& line) {
  const std::lock_guard lock(mutex_);
  record_is_closed_ ? listener_.show(line) : listener_.say(line);
}

SendProgress ReplicationFollower::wait_until(const std::function<bool(const SendProgress&)>& done,
                                             const FinishLimits& limits) {
  auto until = until_;
  if (limits.until) until = std::min(until, *limits.until);
  auto next_word = Clock::now() + kFirstWord;
  while (true) {
    SendProgress progress = sender_->progress();
    const bool is_over = progress.superseded || progress.link.refused;
    if (done(progress) || (is_over && progress.streams_closed)) return progress;
    if (limits.hurry()) {
      say("muster: the collector is not waited for any longer");
      return progress;
    }
    const auto now = Clock::now();
    if (now >= until) return progress;
    if (now >= next_word) {
      next_word = now + kNextWord;
      say("muster: " + format_bytes(progress.unsent) + " are on their way to " +
          settings_.collector + absence(progress) + "; waiting up to " +
          format_duration(std::chrono::duration_cast<std::chrono::milliseconds>(until - now)) +
          " (Ctrl-C: no longer)");
    }
    std::this_thread::sleep_for(kLook);
  }
}

FollowerEnd ReplicationFollower::end_of(const SendProgress& progress) {
  FollowerEnd end;
  if (progress.streams_complete && progress.refused_count == 0 && progress.lost_there == 0) {
    listener_.event("delivered", settings_.collector, 0);
    end.said.push_back("delivered to the collector: " + settings_.collector);
    return end;
  }
  std::vector<std::string> messages;
  if (!progress.streams_complete) messages.push_back(where_it_is(progress));
  if (progress.streams_complete && progress.refused_count > 0) {
    messages.push_back(not_taken(progress));
  }
  if (progress.lost_there > 0) messages.push_back(lost_text(progress));
  const std::string message = join(messages, "; ");
  refused_count_ = progress.refused_count;
  end.incomplete.undelivered = true;
  end.incomplete.undelivered_bytes = progress.unsent;
  listener_.event("collector_undelivered", message, progress.unsent);
  end.failure = Error{ErrorCode::kDelivery, message, "", std::nullopt};
  return end;
}

std::string ReplicationFollower::lost_text(const SendProgress& progress) const {
  return "the collector " + settings_.collector + " has lost " + format_bytes(progress.lost_there) +
         " that it had on its disk, and that were freed here for streams.max_size: they are gaps";
}

std::string ReplicationFollower::not_taken(const SendProgress& progress) const {
  return "the collector " + settings_.collector + " did not take " +
         counted(static_cast<std::int64_t>(progress.refused_count), "stream") + ": " +
         join(progress.refused, "; ");
}

std::string ReplicationFollower::where_it_is(const SendProgress& progress) {
  std::vector<std::string> streams;
  for (const auto& stream : sender_->unsent(kListed + 1)) {
    streams.push_back(stream.path + " " + format_bytes(stream.bytes));
  }
  if (streams.size() > kListed) streams.back() = "…";
  std::string text =
      format_bytes(progress.unsent) + " are not at the collector " + settings_.collector;
  if (!streams.empty()) text += " (" + join(streams, ", ") + ")";
  if (const std::string reason = why(progress); !reason.empty()) text += ": " + reason;
  std::string command = settings_.sync_command;
  // The same line with the same token would be refused as this was.
  const auto& trouble = progress.link.trouble;
  if (progress.link.refused && trouble && trouble->code == ErrorCode::kPermission) {
    command = "muster sync " + shell_quoted(run_.root().string()) + " --token-file FILE";
  }
  return text + "; `" + command + "` delivers the rest";
}

}  // namespace muster::exec
