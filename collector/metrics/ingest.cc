#include "collector/metrics/ingest.h"

#include <sys/stat.h>

#include "base/text.h"

namespace muster::metrics {
namespace {

using Clock = std::chrono::steady_clock;

// Whoever reads sees what is at most so old; a transaction for each line would cost a hundred times
// as much.
constexpr std::chrono::milliseconds kLongestTransaction{200};

std::uint64_t size_of(const std::filesystem::path& file) {
  struct stat status {};
  return ::lstat(file.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

}  // namespace

void Ingest::find() {
  for (Source& source : find_sources(run_.root(), !patterns_.empty())) {
    if (source.kind != Source::Kind::kText) {
      const std::string stream = source.origin.stream;
      followed_.try_emplace(stream, Followed{SourceReader(std::move(source), nullptr)});
      continue;
    }
    for (const Patterns& patterns : patterns_) {
      Source each = source;
      each.origin.stream += "#" + patterns.key();
      const std::string stream = each.origin.stream;
      followed_.try_emplace(stream, Followed{SourceReader(std::move(each), &patterns)});
    }
  }
}

Result<> Ingest::begin() {
  if (in_transaction_) return {};
  MUSTER_TRY_ASSIGN(database_, store_.database());
  MUSTER_TRY(database_->begin());
  in_transaction_ = true;
  began_ = Clock::now();
  return {};
}

Result<> Ingest::commit_when_due(bool always) {
  if (!in_transaction_ || (!always && Clock::now() - began_ < kLongestTransaction)) return {};
  in_transaction_ = false;
  return database_->commit();
}

Result<std::uint64_t> Ingest::take(Followed& followed, bool final,
                                   const std::function<bool()>& hurry) {
  std::uint64_t points = 0;
  const Origin& origin = followed.reader.source().origin;
  while (!hurry()) {
    MUSTER_TRY(begin());
    MUSTER_TRY_ASSIGN(const Cursor from, database_->cursor(origin.stream));
    const std::uint64_t size = size_of(followed.reader.source().file);
    auto block = followed.reader.read(from, final);
    if (!block) return Failure(std::move(block).error());
    if (block->after != from) MUSTER_TRY(database_->add(origin, block->after, block->samples));
    points += block->samples.size();
    followed.waiting = block->waiting;
    MUSTER_TRY(commit_when_due(false));
    if (block->more) continue;
    followed.seen = size;
    followed.final = final;
    break;
  }
  return points;
}

bool Ingest::is_wanted(const Followed& followed, bool final) const {
  const std::uint64_t size = size_of(followed.reader.source().file);
  return size > 0 && (size != followed.seen || followed.waiting || (final && !followed.final));
}

Result<Ingest::Look> Ingest::look(bool final, const std::function<bool()>& hurry) {
  Look look;
  find();
  // Nodes last: by then it is known whether there is a database.
  for (const bool of_nodes : {false, true}) {
    if (of_nodes && nodes_ == Nodes::kBesideOthers && store_.opened() == nullptr &&
        !store_.exists()) {
      continue;
    }
    for (auto& [stream, followed] : followed_) {
      if (followed.reader.source().origin.node.empty() == of_nodes) continue;
      if (!is_wanted(followed, final) || hurry()) continue;
      auto points = take(followed, final, hurry);
      if (!points) {
        if (in_transaction_) database_->roll_back();
        in_transaction_ = false;
        return Failure(std::move(points).error());
      }
      look.points += *points;
      look.waiting = look.waiting || followed.waiting;
    }
  }
  MUSTER_TRY(commit_when_due(true));
  return look;
}

}  // namespace muster::metrics
