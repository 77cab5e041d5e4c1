#include "collector/replication/store_follower.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "collector/store/digest.h"

namespace muster::replication {
namespace fs = std::filesystem;
namespace {

using store::StreamKind;

constexpr std::size_t kOpenFiles = 256;
constexpr std::size_t kLargestControlFile = 64U << 20;
constexpr std::size_t kLinesAtOnce = 4U << 20;

std::int64_t in_ns(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

std::optional<struct stat> look_at(const std::string& path) {
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) return std::nullopt;
  return facts;
}

// run.json of a run that is over says how it ended.
bool is_final(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return false;
  const auto status = json.find("status");
  if (status == json.end() || !status->is_string()) return false;
  return *status != "running" && *status != "stopping";
}

// What the launcher tells of the run.
bool is_record(const FollowedStream& stream) {
  return stream.kind == StreamKind::kEvents || stream.path.starts_with("launcher/");
}

}  // namespace

std::string NewLines::take() {
  const Fd fd(::open(path_.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return "";
  std::string text;
  char buffer[65536];
  while (text.size() < kLinesAtOnce) {
    const ssize_t got =
        ::pread(fd.get(), buffer, sizeof buffer, static_cast<off_t>(offset_ + text.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  const std::size_t end = text.rfind('\n');
  text.resize(end == std::string::npos ? 0 : end + 1);
  offset_ += text.size();
  return text;
}

StoreFollower::StoreFollower(store::RunDirectory run, StreamSink& sink)
    : run_(std::move(run)),
      sink_(sink),
      scan_(run_),
      ledger_lines_(run_.streams_jsonl().string()),
      manifest_lines_(run_.files_jsonl().string()),
      ledger_(run_.streams_jsonl()),
      descriptors_(run_.root().string(), kOpenFiles) {
  // The record of the run is looked at last, and told last.
  for (const char* path : {"config.yaml", "plan.json", "report.txt", "run.json"}) {
    control_.push_back({.path = path});
  }
}

bool StoreFollower::look() {
  if (finished_) return false;  // what comes now belongs to no delivery
  bool news = false;
  for (ControlFile& file : control_) news |= look_at_control(file, false);
  const std::size_t before = streams_.size();
  add_streams(false);
  news |= streams_.size() != before;
  news |= read_records();
  // After the ledger: a stream whose end is on record has all of its bytes by then.
  news |= measure_streams();
  end_those_that_ended();
  news |= read_manifest();
  return news;
}

void StoreFollower::tell_rest() {
  add_streams(true);
  while (read_records()) {
  }
  while (read_manifest()) {
  }
  measure_streams();
}

void StoreFollower::finish_streams() {
  if (std::exchange(streams_finished_, true)) return;
  tell_rest();
  tell_unlisted_files();
  for (FollowedStream& stream : streams_) {
    if (!is_record(stream)) end_stream(stream);
  }
  for (auto& [path, file] : files_) {
    if (!file.ended) end_file(file, "", true);
  }
}

void StoreFollower::finish() {
  if (finished_) return;
  finish_streams();
  finished_ = true;
  tell_rest();
  for (FollowedStream& stream : streams_) end_stream(stream);
  for (auto& [path, file] : files_) {
    if (!file.ended) end_file(file, "", true);
  }
  for (ControlFile& file : control_) look_at_control(file, true);
  if (final_record_) send_control(control_.back(), std::move(*final_record_), true);
}

// The sink gives the number, and may ask to read only after that: it is told of bytes later.
StreamNumber StoreFollower::announce(StreamDescription description, Readable readable) {
  const StreamNumber number = sink_.add(std::move(description));
  const std::lock_guard lock(mutex_);
  readable_[number] = std::move(readable);
  return number;
}

void StoreFollower::tell_grown(StreamNumber number, std::uint64_t size) {
  {
    const std::lock_guard lock(mutex_);
    readable_[number].size = size;
  }
  sink_.grown(number, size);
}

void StoreFollower::add_streams(bool thorough) {
  for (FoundStream& found : scan_.look(thorough)) {
    StreamDescription description;
    description.path = found.path;
    description.kind = found.kind;
    Readable readable;
    readable.path = found.path;
    FollowedStream stream;
    stream.path = found.path;
    stream.kind = found.kind;
    stream.number = announce(std::move(description), std::move(readable));
    by_path_[stream.path] = streams_.size();
    streams_.push_back(std::move(stream));
    // What the ledger said of it before its file was seen.
    const auto known = records_.find(found.path);
    if (known == records_.end()) continue;
    for (const store::Gap& gap : known->second.gaps) tell_gap(streams_.back(), gap);
    if (known->second.freed) tell_freed(streams_.back(), known->second.freed->to);
    if (known->second.end) ending_.push_back(streams_.size() - 1);
  }
}

// An index goes before the bytes that it describes, and is measured after them: it then knows them
// all.
bool StoreFollower::measure_streams() {
  const std::string root = run_.root().string() + "/";
  std::vector<std::pair<std::size_t, std::uint64_t>> grown;
  for (const bool indexes : {false, true}) {
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      const FollowedStream& stream = streams_[i];
      if (stream.ended || (stream.kind == StreamKind::kIndex) != indexes) continue;
      const auto facts = look_at(root + stream.path);
      if (!facts || static_cast<std::uint64_t>(facts->st_size) <= stream.size) continue;
      grown.emplace_back(i, static_cast<std::uint64_t>(facts->st_size));
    }
  }
  for (auto each = grown.rbegin(); each != grown.rend(); ++each) {
    FollowedStream& stream = streams_[each->first];
    stream.size = each->second;
    tell_grown(stream.number, stream.size);
  }
  return !grown.empty();
}

bool StoreFollower::read_records() {
  const std::string lines = ledger_lines_.take();
  if (lines.empty()) return false;
  for (auto& [path, news] : store::parse_ledger(lines)) {
    store::StreamRecord& record = records_[path];
    const auto found = by_path_.find(path);
    FollowedStream* stream = found == by_path_.end() ? nullptr : &streams_[found->second];
    for (store::Gap& gap : news.gaps) {
      const auto same = std::find_if(record.gaps.begin(), record.gaps.end(),
                                     [&](const auto& known) { return known.from == gap.from; });
      // Those that this follower made are known.
      if (same != record.gaps.end() && *same == gap) continue;
      if (stream != nullptr) tell_gap(*stream, gap);
      if (same != record.gaps.end()) {
        *same = std::move(gap);
      } else {
        record.gaps.push_back(std::move(gap));
      }
    }
    if (news.freed) record.freed = news.freed;
    if (news.end) record.end = std::move(news.end);
    if (stream == nullptr) continue;
    if (record.freed) tell_freed(*stream, record.freed->to);
    if (record.end && !stream->ended) ending_.push_back(found->second);
  }
  return true;
}

void StoreFollower::end_those_that_ended() {
  for (const std::size_t each : ending_) end_stream(streams_[each]);
  ending_.clear();
}

// One without an end is told with the stream's own.
void StoreFollower::tell_gap(FollowedStream& stream, const store::Gap& gap) {
  if (stream.ended || !gap.to) return;
  sink_.gap(stream.number, {gap.from, gap.to, gap.reason});
  stream.gone.add(gap.from, *gap.to);
}

// Beside gaps: what was given up behind it says nothing of what the collector has.
void StoreFollower::tell_freed(FollowedStream& stream, std::uint64_t to) {
  if (to <= stream.freed_to) return;
  stream.freed_to = to;
  stream.gone.add(0, to);
  sink_.freed(stream.number, to);
}

void StoreFollower::end_stream(FollowedStream& stream) {
  if (stream.ended) return;
  stream.ended = true;
  StreamEnd end;
  end.length = stream.size;
  const auto record = records_.find(stream.path);
  const store::StreamRecord* known = record == records_.end() ? nullptr : &record->second;
  if (known != nullptr && known->end) end.length = known->end->length;
  bool has_gaps = false;
  if (known != nullptr) {
    for (const store::Gap& gap : known->gaps) {
      has_gaps = true;
      if (gap.to) continue;
      end.length = gap.from;
      sink_.gap(stream.number, {gap.from, std::nullopt, gap.reason});
    }
  }
  if (!has_gaps) {
    end.digest = known != nullptr && known->end ? known->end->xxh3 : digest_of_stored(stream);
  }
  sink_.ended(stream.number, end);
}

// Of streams whose writer keeps none: they are small.
std::string StoreFollower::digest_of_stored(const FollowedStream& stream) const {
  constexpr std::uint64_t kSmall = 64U << 20;
  if (stream.size > kSmall || !stream.gone.empty()) return "";
  auto text = read_regular_file(run_.root() / stream.path, kSmall * 2);
  // It may have grown since.
  if (!text || text->size() < stream.size) return "";
  return store::digest_of(std::string_view(*text).substr(0, stream.size));
}

bool StoreFollower::read_manifest() {
  const std::string lines = manifest_lines_.take();
  if (lines.empty()) return false;
  const store::FileStates states = store::parse_manifest(lines);
  // What has made way first: a stream waits for those that were told before, and may need its name.
  for (const auto& [path, state] : states) {
    if (!state.copy_gone || store::kind_of(path) != StreamKind::kFile) continue;
    // It cannot be read any more, however much of it has travelled.
    if (const auto file = files_.find(path); file != files_.end())
      end_file(file->second, "", false);
    sink_.deleted(path);
  }
  for (const auto& [path, state] : states) {
    if (state.copy_gone || store::kind_of(path) != StreamKind::kFile) continue;
    if (state.stored) tell_file(*state.stored);
    if (state.deleted) {
      if (const auto file = files_.find(path); file != files_.end() && !file->second.ended) {
        end_file(file->second, "", file->second.grows);
      }
      sink_.deleted(path);
    }
  }
  return true;
}

void StoreFollower::tell_file(const store::FileEntry& entry) {
  const bool grows = entry.form == store::FileForm::kAppend;
  if (const auto known = files_.find(entry.path); known != files_.end()) {
    FollowedFile& file = known->second;
    if (file.generation == entry.generation) {
      if (file.ended || !grows || entry.size <= file.size) return;
      file.size = entry.size;
      return tell_grown(file.number, entry.size);
    }
    if (file.generation > entry.generation) return;
    // The next generation travels when this one is complete or given up; it is not here any more.
    end_file(file, "", false);
  }
  StreamDescription description;
  description.path = entry.path;
  description.kind = StreamKind::kFile;
  description.generation = entry.generation;
  description.whole = !grows;
  description.size_hint = entry.size;
  description.mtime_ns = entry.mtime_ns;
  description.mode = entry.mode;
  description.owner_rank = entry.owner_rank;
  const bool is_link = entry.form == store::FileForm::kSymlink;
  if (is_link) description.link_target = entry.target;
  Readable readable;
  readable.path = entry.path;
  readable.has_holes = true;
  FollowedFile file;
  file.generation = entry.generation;
  file.size = is_link ? 0 : entry.size;
  file.grows = grows;
  file.number = announce(std::move(description), std::move(readable));
  if (file.size > 0) tell_grown(file.number, file.size);
  if (!grows) end_file(file, is_link ? "" : entry.xxh3, true);
  files_[entry.path] = file;
}

void StoreFollower::end_file(FollowedFile& file, const std::string& digest, bool commit) {
  file.ended = true;
  sink_.ended(file.number, {file.size, digest, commit});
}

// Files of a run whose manifest does not know them: of an older version's, or one that ended before
// it was written.
void StoreFollower::tell_unlisted_files() {
  for (const char* folder : {"outputs", "logs"}) {
    std::error_code error;
    fs::recursive_directory_iterator entries(run_.root() / folder, error);
    for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
      std::error_code ignored;
      if (!fs::is_regular_file(entries->symlink_status(ignored))) continue;
      store::FileEntry entry;
      entry.path = entries->path().lexically_relative(run_.root()).string();
      if (files_.contains(entry.path)) continue;
      const auto facts = look_at(entries->path().string());
      if (!facts) continue;
      entry.generation = 1;
      entry.size = static_cast<std::uint64_t>(facts->st_size);
      entry.mtime_ns = in_ns(facts->st_mtim);
      entry.mode = facts->st_mode & 0777;
      tell_file(entry);
    }
  }
}

// Replaced by rename, and small: what is sent is what was there at one moment.
bool StoreFollower::look_at_control(ControlFile& file, bool closing) {
  const std::string path = (run_.root() / file.path).string();
  const auto facts = look_at(path);
  if (!facts) return false;
  const std::int64_t changed = in_ns(facts->st_mtim);
  if (!closing && changed == file.changed_ns && facts->st_ino == file.inode) return false;
  auto text = read_regular_file(path, kLargestControlFile);
  if (!text) return false;
  file.changed_ns = changed;
  file.inode = facts->st_ino;
  if (file.path == "run.json" && is_final(*text)) {
    over_ = true;
    final_record_ = std::move(*text);
    return true;
  }
  if (*text == file.text) return false;
  send_control(file, std::move(*text), false);
  return true;
}

void StoreFollower::send_control(ControlFile& file, std::string text, bool last) {
  // Also greater than what another process sent of this store before.
  const auto now = static_cast<std::uint64_t>(std::max<std::int64_t>(file.changed_ns, 1));
  file.generation = std::max(file.generation + 1, now);
  StreamDescription description;
  description.path = file.path;
  description.kind = StreamKind::kControl;
  description.generation = file.generation;
  description.whole = true;
  description.size_hint = text.size();
  description.mtime_ns = file.changed_ns;
  description.last = last;
  file.text = text;
  const std::uint64_t size = text.size();
  const std::string digest = store::digest_of(text);
  Readable readable;
  readable.snapshot = std::make_shared<const std::string>(std::move(text));
  const StreamNumber number = announce(std::move(description), std::move(readable));
  if (size > 0) tell_grown(number, size);
  sink_.ended(number, {size, digest, true});
}

// What dropped bytes are is told already.
void StoreFollower::unreadable(StreamNumber number) {
  for (auto& [path, file] : files_) {
    if (file.number == number) return end_file(file, "", false);
  }
  for (const FollowedStream& stream : streams_) {
    if (stream.number != number) continue;
    const auto facts = look_at((run_.root() / stream.path).string());
    const auto there = facts ? static_cast<std::uint64_t>(facts->st_size) : 0;
    if (there >= stream.size) return;
    const store::Gap gap{there, stream.size, store::gap_reason::kDiskError};
    ledger_.gap(stream.path, gap);
    records_[stream.path].gaps.push_back(gap);
    sink_.gap(number, {gap.from, gap.to, gap.reason});
    return;
  }
}

void StoreFollower::free(std::size_t stream, std::uint64_t to, const std::string& collector) {
  FollowedStream& followed = streams_[stream];
  if (to <= followed.freed_to) return;
  // On record before the bytes go: else a reader would take the hole for zeros.
  ledger_.freed(followed.path, {to, collector});
  // All of it: what is left between ranges that were dropped goes, too.
  const std::uint64_t from = std::exchange(followed.freed_to, to);
  followed.gone.add(0, to);
  sink_.freed(followed.number, to);
  punch(followed.path, from, to);
}

void StoreFollower::drop(std::size_t stream, std::uint64_t from, std::uint64_t to) {
  FollowedStream& followed = streams_[stream];
  if (to <= from) return;
  const store::Gap gap{from, to, store::gap_reason::kOverflow};
  ledger_.gap(followed.path, gap);
  records_[followed.path].gaps.push_back(gap);
  {
    const std::lock_guard lock(mutex_);
    readable_[followed.number].dropped.add(from, to);
  }
  sink_.gap(followed.number, {from, to, gap.reason});
  followed.gone.add(from, to);
  followed.dropped.add(from, to);
  punch(followed.path, from, to);
}

void StoreFollower::punch(const std::string& path, std::uint64_t from, std::uint64_t to) {
  const Fd fd(::open((run_.root() / path).c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
  const int error = !fd ? errno
                    : ::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                  static_cast<off_t>(from), static_cast<off_t>(to - from)) != 0
                        ? errno
                        : 0;
  if (error != 0 && cannot_free_.empty()) {
    cannot_free_ =
        system_error(ErrorCode::kRunDirectory, "giving back room of " + path, error).message;
  }
}

Result<StreamSource::Piece> StoreFollower::read(StreamNumber stream, std::uint64_t offset,
                                                std::span<char> into) {
  const std::lock_guard lock(mutex_);
  const auto found = readable_.find(stream);
  if (found == readable_.end()) return fail(ErrorCode::kInternal, "a stream that is not known");
  const Readable& readable = found->second;
  if (offset >= readable.size) return Piece{};
  std::uint64_t most = std::min<std::uint64_t>(into.size(), readable.size - offset);
  if (readable.snapshot) {
    readable.snapshot->copy(into.data(), most, offset);
    return Piece{.bytes = most};
  }
  if (!readable.dropped.empty()) {
    const auto here = store::outside(readable.dropped.all(), offset, offset + most);
    if (here.empty() || here.front().from > offset) {
      return fail(ErrorCode::kData, readable.path + ": these bytes were dropped for want of room");
    }
    most = here.front().to - offset;
  }
  MUSTER_TRY_ASSIGN(const int fd, descriptors_.open(stream, readable.path));
  if (readable.has_holes) {
    const off_t data = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return Piece{.zeros = readable.size - offset};
    if (data > static_cast<off_t>(offset)) {
      return Piece{.zeros =
                       std::min<std::uint64_t>(static_cast<std::uint64_t>(data), readable.size) -
                       offset};
    }
  }
  while (true) {
    const ssize_t got = ::pread(fd, into.data(), most, static_cast<off_t>(offset));
    if (got > 0) return Piece{.bytes = static_cast<std::size_t>(got)};
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) return fail(ErrorCode::kData, readable.path + " is shorter than it was");
    return Failure(system_error(ErrorCode::kData, "reading " + readable.path));
  }
}

}  // namespace muster::replication
