#include "launcher/exec/metrics_follower.h"

#include <algorithm>

#include "base/signals.h"
#include "base/text.h"

namespace muster::exec {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// A run that is over by then costs a thread that slept.
constexpr auto kFirstLook = 250ms;
constexpr Clock::duration kBetweenLooks = 500ms;
// Of the time, at most a twentieth goes into looking.
constexpr int kRest = 19;
constexpr Clock::duration kBetweenSnapshots = 5s;

std::vector<metrics::Patterns> list_of(metrics::Patterns patterns) {
  std::vector<metrics::Patterns> list;
  if (!patterns.empty()) list.push_back(std::move(patterns));
  return list;
}

}  // namespace

MetricsFollower::MetricsFollower(store::RunDirectory run, metrics::Patterns patterns,
                                 std::map<std::string, std::string> environment)
    : run_(std::move(run)),
      store_(run_, std::move(environment)),
      ingest_(run_, store_, list_of(std::move(patterns)), metrics::Ingest::Nodes::kBesideOthers) {}

MetricsFollower::~MetricsFollower() {
  stop();
}

void MetricsFollower::start() {
  const AllSignalsBlocked blocked;
  thread_ = std::thread([this] { follow(); });
}

void MetricsFollower::follow() {
  Clock::duration pause = kFirstLook;
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, pause, [this] { return stopping_; })) {
    lock.unlock();
    const auto began = Clock::now();
    const auto look = ingest_.look(false, [this] {
      const std::lock_guard guard(mutex_);
      return stopping_;
    });
    failure_ = look ? "" : look.error().message;
    if (look) points_ += look->points;
    publish_when_due();
    pause = std::max(kBetweenLooks, (Clock::now() - began) * kRest);
    lock.lock();
  }
}

// Where the database is elsewhere, readers of the run directory see a snapshot.
void MetricsFollower::publish_when_due() {
  if (!store_.is_elsewhere() || points_ == published_points_) return;
  const auto began = Clock::now();
  if (began < publish_after_) return;
  if (store_.publish()) published_points_ = points_;
  publish_after_ = Clock::now() + std::max(kBetweenSnapshots, (Clock::now() - began) * kRest);
}

void MetricsFollower::stop() {
  {
    const std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

// What cannot be ingested now is in the streams, and `muster metrics` takes it from there: metrics
// never make a run fail.
FollowerEnd MetricsFollower::finish(const FinishLimits& limits) {
  stop();
  FollowerEnd end;
  const auto look = ingest_.look(true, [&limits] {
    return (limits.until && Clock::now() >= *limits.until) || limits.hurry();
  });
  if (!look) failure_ = look.error().message;
  end.warnings = store_.notes();
  if (auto finished = store_.finish(); !finished) failure_ = finished.error().message;
  if (!failure_.empty()) {
    end.warnings.push_back("metrics.db is not complete: " + failure_ +
                           "; `muster metrics` takes the rest from what the ranks wrote");
  }
  if (metrics::MetricsDb* database = store_.opened()) {
    const auto bad = database->bad_lines();
    for (std::size_t i = 0; bad && i < bad->size() && i < 3; ++i) {
      const metrics::BadLines& each = (*bad)[i];
      end.warnings.push_back(each.stream + ": " +
                             counted(static_cast<std::int64_t>(each.count), "line") +
                             " could not be understood as metrics, the first is " + each.example);
    }
  }
  return end;
}

}  // namespace muster::exec
