#include "collector/outputs/publisher.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/text.h"

namespace muster::outputs {
namespace fs = std::filesystem;
using How = Published::How;
using store::FileEntry;
using store::FileForm;

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kTail = 4096;  // of what is stored: is it still there, at its place?
// Larger ones are moved first, all of them, and read when nothing is lost any more.
constexpr std::uint64_t kHashMoved = std::uint64_t{64} << 20;
constexpr std::uint64_t kBatchBytes = std::uint64_t{64} << 20;
constexpr std::size_t kBatchFiles = 256;
constexpr std::size_t kSyncOneByOne = 32;

Published failed(Error error) {
  Published published;
  published.how = How::kFailed;
  published.error = std::move(error);
  return published;
}

Published refused(std::string why) {
  Published published;
  published.how = How::kRefused;
  published.error.code = ErrorCode::kData;
  published.error.message = std::move(why);
  return published;
}

Published changed() {
  Published published;
  published.how = How::kChanged;
  return published;
}

std::optional<FileFacts> look_at(const Fd& file) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return std::nullopt;
  return facts_of(info);
}

timespec time_of(std::int64_t nanoseconds) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  timespec time{};
  time.tv_sec = nanoseconds / kSecond;
  time.tv_nsec = nanoseconds % kSecond;
  if (time.tv_nsec < 0) {
    time.tv_nsec += kSecond;
    --time.tv_sec;
  }
  return time;
}

Result<> dress(const Fd& file, const FileFacts& facts) {
  const timespec times[2] = {{0, UTIME_OMIT}, time_of(facts.mtime_ns)};
  // Never setuid, setgid or sticky: the bytes are a program's that nobody has looked at.
  if (::fchmod(file.get(), facts.mode & 0777U) != 0 || ::futimens(file.get(), times) != 0) {
    return Failure(system_error(ErrorCode::kRunDirectory, "setting its mode and time"));
  }
  return {};
}

FileEntry entry_of(const std::string& path, const FileFacts& facts, int owner_rank) {
  FileEntry entry;
  entry.path = path;
  entry.size = facts.size;
  entry.mtime_ns = facts.mtime_ns;
  entry.mode = facts.mode & 0777U;
  entry.owner_rank = owner_rank;
  return entry;
}

// "deep/model.pt" of "outputs/deep/model.pt": as its folder's root has it.
std::string inner_path(const std::string& path, const Publisher::Source& source) {
  return path.substr(source.name.size() + 1);
}

bool grew_only(const FileFacts& stored, const FileFacts& now) {
  return stored.device == now.device && stored.inode == now.inode && now.size >= stored.size;
}

// Of two names of one file only the first counts.
std::uint64_t own_bytes(const FileEntry& entry) {
  return entry.form == FileForm::kLink ? 0 : entry.size;
}

// How often the size of a file that grows is written down: its readers look at the file itself.
std::chrono::seconds record_interval(int records) {
  return std::min<std::chrono::seconds>(60s, 2s + records / 10 * 2s);
}

}  // namespace

Result<Publisher> Publisher::open(const store::RunDirectory& run, PublisherOptions options) {
  MUSTER_TRY_ASSIGN(store::SafeRoot root, store::SafeRoot::open(run.root().string()));
  return Publisher(std::move(root), run, options);
}

bool Publisher::was_stored_by_others(const std::string& path, const std::string& folder) const {
  const auto found = stored_.find(path);
  return found != stored_.end() && found->second.folder != folder;
}

std::uint64_t Publisher::next_generation(const std::string& path) const {
  const auto found = stored_.find(path);
  if (found != stored_.end()) return found->second.entry.generation + 1;
  const auto before = made_way_.find(path);
  return before == made_way_.end() ? 1 : before->second + 1;
}

// A name can be a file's today and a folder's tomorrow, and the other way round; what is stored
// can have only one of them.  So the copy of what is gone makes way.  The caller has seen `path` at
// its source: above it are folders there, and nothing is below it.
Result<> Publisher::clear_way(const std::string& path, const std::string& folder, bool is_stored) {
  std::vector<std::string> going;
  for (std::size_t slash = path.find('/'); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    if (const auto above = stored_.find(path.substr(0, slash)); above != stored_.end()) {
      going.push_back(above->first);
    }
  }
  const std::string below = path + "/";
  for (auto each = stored_.lower_bound(below);
       each != stored_.end() && each->first.starts_with(below); ++each) {
    going.push_back(each->first);
  }
  if (going.empty()) return {};
  for (const std::string& each : going) {
    if (stored_.at(each).folder != folder) {
      return fail(ErrorCode::kData,
                  "its name is taken by " + each + " of " + stored_.at(each).folder,
                  "give one of the two another name");
    }
  }
  // On record first: a copy that is missing and on no record would be a lost one.
  for (const std::string& each : going) manifest_.made_way(each);
  MUSTER_TRY(manifest_.flush());
  for (const std::string& each : going) {
    // Where ranks write to the run directory itself it has gone already.
    if (!is_stored) MUSTER_TRY(run_.remove(each));
    const auto gone = stored_.find(each);
    bytes_ -= std::min(bytes_, own_bytes(gone->second.entry));
    made_way_[each] = gone->second.entry.generation;
    if (options_.names) options_.names->give_up(each);
    std::erase_if(by_inode_, [&](const auto& one) { return one.second == each; });
    stored_.erase(gone);
  }
  return {};
}

// What is complete gets its name.
Result<store::OutputNames::Lock> Publisher::take_name(const std::string& path,
                                                      const store::FileEntry& entry) {
  if (!options_.names) return store::OutputNames::Lock();
  // What only grows has another content in a moment.
  const std::string digest = entry.form == FileForm::kWhole ? entry.xxh3 : "";
  return options_.names->take(path, entry.size, digest, run_, manifest_);
}

Result<> Publisher::put(const std::string& temporary, const std::string& path,
                        const std::string& folder, const store::FileEntry& entry) {
  MUSTER_TRY(clear_way(path, folder, false));
  MUSTER_TRY_ASSIGN(const auto name, take_name(path, entry));
  auto renamed = run_.rename(temporary, path);
  if (renamed) return renamed;
  // The folders of what made way, or empty ones, may still be there.
  const auto there = run_.look(path);
  if (!there || !*there || !S_ISDIR((*there)->st_mode)) return renamed;
  MUSTER_TRY(run_.remove_folders(path));
  return run_.rename(temporary, path);
}

Result<> Publisher::make_folder(const std::string& path, const Source& source) {
  // What is in it is stored by now, and stays.
  if (const auto there = run_.look(path); there && *there && S_ISDIR((*there)->st_mode)) return {};
  MUSTER_TRY(clear_way(path + "/", source.name, source.is_stored));
  return run_.make_folder(path);
}

std::string Publisher::new_temporary() {
  return ".muster/incoming/output-" + std::to_string(++temporaries_);
}

Result<> Publisher::check_room(const Work& work, std::uint64_t more, bool is_last) const {
  const auto found = stored_.find(work.file.path);
  const std::uint64_t before = found == stored_.end() ? 0 : own_bytes(found->second.entry);
  if (options_.max_bytes &&
      bytes_ + prepared_bytes_ - std::min(bytes_, before) + more > *options_.max_bytes) {
    return fail(ErrorCode::kRunDirectory,
                "results.max_size (" + format_bytes(*options_.max_bytes) + ") is reached");
  }
  if (is_last || options_.leave_free == 0) return {};
  // While ranks run the disk is theirs and their output's first.
  struct statvfs disk {};
  if (::fstatvfs(run_.fd().get(), &disk) != 0) return {};
  const std::uint64_t free = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  if (free >= more + options_.leave_free) return {};
  return fail(ErrorCode::kRunDirectory, "the disk of the run directory has " + format_bytes(free) +
                                            " left, and " + format_bytes(options_.leave_free) +
                                            " of it are kept for what ranks print");
}

void Publisher::record(Stored& stored, bool always) {
  const auto now = std::chrono::steady_clock::now();
  stored.is_recorded = always || now - stored.recorded >= record_interval(stored.records);
  if (!stored.is_recorded) return;
  stored.recorded = now;
  ++stored.records;
  manifest_.stored(stored.entry);
}

void Publisher::record_rest() {
  for (auto& [path, stored] : stored_) {
    if (!stored.is_recorded) record(stored, true);
  }
}

void Publisher::remember(Stored stored, const FileFacts& facts, Record when) {
  const std::string path = stored.entry.path;
  if (const auto before = stored_.find(path); before != stored_.end()) {
    bytes_ -= std::min(bytes_, own_bytes(before->second.entry));
  }
  bytes_ += own_bytes(stored.entry);
  stored.source = facts;
  if (facts.links > 1 && stored.entry.form != FileForm::kLink) {
    by_inode_[{facts.device, facts.inode}] = path;
  }
  noted_.erase(path);
  Stored& remembered = stored_[path] = std::move(stored);
  if (when == Record::kNow) {
    record(remembered, true);
  } else {
    unhashed_.push_back(path);
  }
}

std::vector<Published> Publisher::publish(const std::vector<Work>& work, const Source& source,
                                          const KeepOn& keep_on) {
  std::vector<Published> results(work.size());
  std::vector<Prepared> prepared;
  for (std::size_t i = 0; i < work.size(); ++i) {
    if (auto kept = keep_on(); !kept) {
      results[i] = failed(std::move(kept).error());
      continue;
    }
    Prepared next;
    next.at = i;
    results[i] = start_one(work[i], source, keep_on, next);
    if (!next.file) continue;
    prepared_bytes_ += next.stored.entry.size;
    // A second name of the same file waits for the first one to be there.
    const bool alone = next.stored.source.links > 1;
    prepared.push_back(std::move(next));
    if (alone || prepared_bytes_ >= kBatchBytes || prepared.size() >= kBatchFiles) {
      commit(prepared, results);
    }
  }
  commit(prepared, results);
  return results;
}

Published Publisher::start_one(const Work& work, const Source& source, const KeepOn& keep_on,
                               Prepared& prepared) {
  const std::string& path = work.file.path;
  if (const auto why = store::why_unsafe(path)) return refused(*why);
  if (work.file.facts.is_link()) return publish_link(work, source);
  auto file = source.root->open_file(inner_path(path, source), O_RDONLY);
  if (!file) {
    // A name that became a link, a device or nothing since the look: the next look says what it is.
    const auto there = source.root->look(inner_path(path, source));
    if (!there || !*there || !S_ISREG((*there)->st_mode)) return changed();
    return failed(std::move(file).error());
  }
  const auto now = look_at(*file);
  if (!now || now->inode != work.file.facts.inode) return changed();
  if (source.is_stored) return note_stored(work, source, *file, *now, keep_on);
  if (auto done = extend(work, source, *file, *now, keep_on)) return std::move(*done);
  // Before it is compared with the look: that its other name was moved has changed its ctime.
  if (auto done = publish_hard_link(work, source, *now)) return std::move(*done);
  // What grows by its name is taken as far as it is; of everything else a settled state.
  if (!work.append && !same_content(work.file.facts, *now)) return changed();
  if (auto done = move(work, source, *file, *now, keep_on)) return std::move(*done);
  return start_whole(work, source, *file, *now, keep_on, prepared);
}

// What is stored already and has only grown since gets the rest.  nullopt: it has not.
std::optional<Published> Publisher::extend(const Work& work, const Source& source, const Fd& file,
                                           const FileFacts& now, const KeepOn& keep_on) {
  const auto found = stored_.find(work.file.path);
  if (found == stored_.end() || found->second.deleted) return std::nullopt;
  Stored& stored = found->second;
  const std::uint64_t old = stored.entry.size;
  const bool is_file =
      stored.entry.form == FileForm::kWhole || stored.entry.form == FileForm::kAppend;
  if (!is_file || !grew_only(stored.source, now) || old == 0) return std::nullopt;
  // A file that is not known to grow is compared as a whole, and only when it really is longer: in
  // place it would not appear at once.
  const bool known = stored.entry.form == FileForm::kAppend;
  if (!known && (work.kind == Work::Kind::kExtend || now.size == old)) return std::nullopt;
  auto target = run_.open_file(work.file.path, O_RDWR);
  if (!target) return std::nullopt;
  const auto there = look_at(*target);
  if (!there || there->size != old) return std::nullopt;
  const bool settled = source.is_last || work.kind == Work::Kind::kPublish;
  const std::uint64_t from = known && now.size > old && !settled ? old - std::min(old, kTail) : 0;
  if (!same_bytes(file, *target, from, old, keep_on)) {
    // As a new generation, once it has settled.
    if (work.kind != Work::Kind::kExtend || source.is_last) return std::nullopt;
    Published rewritten;
    rewritten.how = How::kRewritten;
    return rewritten;
  }
  if (!known && !same_content(work.file.facts, now)) return changed();
  if (auto room = check_room(work, now.size, source.is_last); !room) {
    return failed(std::move(room).error());
  }
  if (!stored.digest) {
    stored.digest.emplace();
    if (auto hashed = hash_all(*target, old, *stored.digest, keep_on); !hashed) {
      stored.digest.reset();
      return failed(std::move(hashed).error());
    }
  }
  Extended more = copy_more(file, *target, old, now.size, *stored.digest, keep_on);
  if (const auto after = look_at(file); !known && (!after || !same_content(now, *after))) {
    static_cast<void>(::ftruncate(target->get(), static_cast<off_t>(old)));
    stored.digest.reset();
    return changed();
  }
  bytes_ += more.size - old;
  stored.entry.size = more.size;
  stored.entry.form = FileForm::kAppend;
  if (options_.names) options_.names->changed(work.file.path);
  stored.entry.xxh3 = stored.digest->hex();
  stored.entry.mtime_ns = now.mtime_ns;
  stored.entry.mode = now.mode & 0777U;
  stored.source = now;
  stored.source.size = more.size;
  static_cast<void>(dress(*target, now));
  if (source.is_last) static_cast<void>(::fdatasync(target->get()));
  record(stored, source.is_last || !known);
  if (!more.result) return failed(std::move(more.result).error());
  Published published;
  published.facts = stored.source;
  published.append = true;
  return published;
}

Published Publisher::start_whole(const Work& work, const Source& source, const Fd& file,
                                 const FileFacts& before, const KeepOn& keep_on,
                                 Prepared& prepared) {
  if (auto room = check_room(work, before.size, source.is_last); !room) {
    return failed(std::move(room).error());
  }
  const std::string temporary = new_temporary();
  auto target = run_.open_file(temporary, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (!target) return failed(std::move(target).error());
  store::Digest digest;
  const auto give_up = [&](Published why) {
    target->reset();
    static_cast<void>(run_.remove(temporary));
    return why;
  };
  auto copied = copy_all(file, *target, before.size, digest, keep_on);
  if (!copied) return give_up(failed(std::move(copied).error()));
  const auto after = look_at(file);
  FileFacts stored = before;
  if (work.append) {
    // It grows on; it is stored as far as it was read.
    if (!after || *copied != before.size || !grew_only(before, *after)) return give_up(changed());
  } else if (!after || *copied != before.size || !same_content(before, *after) ||
             (!source.is_last && !still_the_same(file, *target, before.size))) {
    return give_up(changed());
  }
  if (auto dressed = dress(*target, stored); !dressed) {
    return give_up(failed(std::move(dressed).error()));
  }
  prepared.temporary = temporary;
  prepared.file = std::move(*target);
  prepared.stored.entry = entry_of(work.file.path, stored, options_.owner_rank);
  prepared.stored.entry.form = work.append ? FileForm::kAppend : FileForm::kWhole;
  prepared.stored.entry.xxh3 = digest.hex();
  prepared.stored.entry.generation = next_generation(work.file.path);
  prepared.stored.folder = source.name;
  prepared.stored.source = stored;
  if (work.append) prepared.stored.digest = std::move(digest);
  Published published;
  published.facts = stored;
  published.append = work.append;
  return published;
}

// On the disk first, then under their names, then in the manifest.
void Publisher::commit(std::vector<Prepared>& prepared, std::vector<Published>& results) {
  if (prepared.empty()) return;
  int error = 0;
  if (prepared.size() > kSyncOneByOne) {
    if (::syncfs(run_.fd().get()) != 0) error = errno;
  }
  for (Prepared& each : prepared) {
    if (prepared.size() <= kSyncOneByOne && ::fdatasync(each.file.get()) != 0) error = errno;
    each.file.reset();
    Result<> renamed;
    if (error != 0) {
      renamed = Failure(system_error(ErrorCode::kRunDirectory, "writing it to the disk", error));
      if (prepared.size() <= kSyncOneByOne) error = 0;
    } else {
      renamed = put(each.temporary, each.stored.entry.path, each.stored.folder, each.stored.entry);
    }
    if (!renamed) {
      static_cast<void>(run_.remove(each.temporary));
      results[each.at] = failed(std::move(renamed).error());
      continue;
    }
    const FileFacts facts = each.stored.source;
    remember(std::move(each.stored), facts);
  }
  prepared.clear();
  prepared_bytes_ = 0;
}

// Nobody needs it where it is: its name changes, and no byte is copied.  nullopt: that cannot be.
std::optional<Published> Publisher::move(const Work& work, const Source& source, const Fd& file,
                                         const FileFacts& now, const KeepOn& keep_on) {
  struct stat run {};
  if (!source.may_move || ::fstat(run_.fd().get(), &run) != 0 || run.st_dev != now.device) {
    return std::nullopt;
  }
  if (auto room = check_room(work, now.size, true); !room) return failed(std::move(room).error());
  // One that is in the way has been told, or the copy will tell.
  if (!clear_way(work.file.path, source.name, false)) return std::nullopt;
  const auto name = take_name(work.file.path, {});
  if (!name) return std::nullopt;
  auto from = source.root->place(inner_path(work.file.path, source), false);
  auto to = run_.place(work.file.path, true);
  if (!from || !to) return std::nullopt;
  Stored stored;
  stored.entry = entry_of(work.file.path, now, options_.owner_rank);
  stored.entry.form = work.append ? FileForm::kAppend : FileForm::kWhole;
  stored.entry.generation = next_generation(work.file.path);
  stored.folder = source.name;
  const bool hash_later = now.size > kHashMoved;
  if (!hash_later) {
    store::Digest digest;
    if (!hash_all(file, now.size, digest, keep_on)) return std::nullopt;
    stored.entry.xxh3 = digest.hex();
  }
  if ((now.mode & 07000U) != 0) ::fchmod(file.get(), now.mode & 0777U);
  if (::renameat(from->directory.get(), from->name.c_str(), to->directory.get(),
                 to->name.c_str()) != 0) {
    return std::nullopt;
  }
  // Its other names are known by what it is now: a rename is a change, too.
  remember(std::move(stored), look_at(file).value_or(now),
           hash_later ? Record::kLater : Record::kNow);
  Published published;
  published.facts = now;
  published.append = work.append;
  return published;
}

// One record, with the digest: a sender takes a generation for complete as it is first told of it.
std::uint64_t Publisher::hash_moved(const KeepOn& keep_on, const HashProgress& progress) {
  std::uint64_t all = 0;
  for (const std::string& path : unhashed_) {
    if (const auto known = stored_.find(path); known != stored_.end()) {
      all += own_bytes(known->second.entry);
    }
  }
  std::uint64_t done = 0;
  std::uint64_t without = 0;
  for (const std::string& path : std::exchange(unhashed_, {})) {
    const auto known = stored_.find(path);
    if (known == stored_.end()) continue;
    Stored& stored = known->second;
    if (!stored.entry.xxh3.empty()) continue;  // another one by now
    if (stored.entry.form == FileForm::kLink) {
      const auto first = stored_.find(stored.entry.target);
      if (first != stored_.end()) stored.entry.xxh3 = first->second.entry.xxh3;
    } else {
      auto file = run_.open_file(path, O_RDONLY);
      store::Digest digest;
      const auto told = [&](std::uint64_t at) { progress(done + at, all); };
      if (file && hash_all(*file, stored.entry.size, digest, keep_on, told)) {
        stored.entry.xxh3 = digest.hex();
      }
      done += stored.entry.size;
    }
    if (stored.entry.xxh3.empty()) ++without;
    record(stored, true);
  }
  return without;
}

// Another name of the same file is stored, as it is now: one copy has both names.
std::optional<Published> Publisher::publish_hard_link(const Work& work, const Source& source,
                                                      const FileFacts& now) {
  if (now.links < 2) return std::nullopt;
  const auto first = by_inode_.find({now.device, now.inode});
  if (first == by_inode_.end() || first->second == work.file.path) return std::nullopt;
  const auto stored = stored_.find(first->second);
  if (stored == stored_.end() || stored->second.deleted ||
      !same_content(stored->second.source, now)) {
    return std::nullopt;
  }
  const std::string first_name = first->second;
  const std::string digest = stored->second.entry.xxh3;
  auto from = run_.place(first_name, false);
  auto to = run_.place(new_temporary(), true);
  if (!from || !to ||
      ::linkat(from->directory.get(), from->name.c_str(), to->directory.get(), to->name.c_str(),
               0) != 0) {
    return std::nullopt;
  }
  auto renamed = put(".muster/incoming/" + to->name, work.file.path, source.name,
                     entry_of(work.file.path, now, options_.owner_rank));
  // Of two names of one file rename() does nothing and leaves both.
  ::unlinkat(to->directory.get(), to->name.c_str(), 0);
  if (!renamed) return failed(std::move(renamed).error());
  Stored link;
  link.entry = entry_of(work.file.path, now, options_.owner_rank);
  link.entry.xxh3 = digest;
  // Its first name may just have become that of a folder.
  if (stored_.contains(first_name)) {
    link.entry.form = FileForm::kLink;
    link.entry.target = first_name;
  }
  link.entry.generation = next_generation(work.file.path);
  link.folder = source.name;
  const bool later = link.entry.xxh3.empty();
  remember(std::move(link), now, later ? Record::kLater : Record::kNow);
  Published published;
  published.facts = now;
  return published;
}

Published Publisher::publish_link(const Work& work, const Source& source) {
  const std::string& path = work.file.path;
  const auto target =
      contained_target(path, work.file.target, source.name, source.root->directory());
  if (!target) {
    return refused("it is a link to " + without_controls(work.file.target) +
                   ", outside of the output folders");
  }
  Published published;
  published.facts = work.file.facts;
  if (source.is_stored) {
    if (auto cleared = clear_way(path, source.name, true); !cleared) {
      return failed(std::move(cleared).error());
    }
  } else {
    const std::string temporary = new_temporary();
    auto made = run_.make_link(*target, temporary);
    if (made) {
      made =
          put(temporary, path, source.name, entry_of(path, work.file.facts, options_.owner_rank));
    }
    if (!made) {
      static_cast<void>(run_.remove(temporary));
      return failed(std::move(made).error());
    }
  }
  Stored stored;
  stored.entry = entry_of(path, work.file.facts, options_.owner_rank);
  stored.entry.size = 0;
  stored.entry.form = FileForm::kSymlink;
  stored.entry.target = *target;
  stored.entry.generation = next_generation(path);
  stored.folder = source.name;
  remember(std::move(stored), work.file.facts);
  return published;
}

// Ranks write to the run directory itself: the file is where it belongs, and is only noted.
Published Publisher::note_stored(const Work& work, const Source& source, const Fd& file,
                                 const FileFacts& before, const KeepOn& keep_on) {
  if (auto cleared = clear_way(work.file.path, source.name, true); !cleared) {
    return failed(std::move(cleared).error());
  }
  Published published;
  published.facts = before;
  published.append = work.append;
  const auto known = stored_.find(work.file.path);
  const bool grows = known != stored_.end() && work.kind == Work::Kind::kExtend &&
                     grew_only(known->second.source, before);
  Stored stored;
  stored.entry = entry_of(work.file.path, before, options_.owner_rank);
  stored.entry.form = work.append ? FileForm::kAppend : FileForm::kWhole;
  stored.entry.generation =
      grows ? known->second.entry.generation : next_generation(work.file.path);
  stored.folder = source.name;
  // Of one that grows the bytes are read once, at the end.
  if (!work.append || source.is_last) {
    store::Digest digest;
    auto hashed = hash_all(file, before.size, digest, keep_on);
    if (!hashed) return failed(std::move(hashed).error());
    const auto after = look_at(file);
    if (!after || !same_content(before, *after)) return changed();
    stored.entry.xxh3 = digest.hex();
  }
  if (grows && !source.is_last) {
    stored.records = known->second.records;
    stored.recorded = known->second.recorded;
    stored.source = before;
    bytes_ += before.size - known->second.entry.size;
    record(known->second = std::move(stored), false);
  } else {
    remember(std::move(stored), before);
  }
  return published;
}

bool Publisher::is_true_copy(const FoundFile& file, const Source& source,
                             const KeepOn& keep_on) const {
  const auto found = stored_.find(file.path);
  // Only what was extended can have got its head from another state than its tail.
  if (found == stored_.end() || source.is_stored || !found->second.digest) return true;
  auto one = source.root->open_file(inner_path(file.path, source), O_RDONLY);
  auto other = run_.open_file(file.path, O_RDONLY);
  if (!one || !other) return true;
  const auto now = look_at(*one);
  const auto there = look_at(*other);
  return now && there && now->size == there->size &&
         same_bytes(*one, *other, 0, now->size, keep_on);
}

void Publisher::note_deleted(const std::string& path, bool copy_kept) {
  const auto found = stored_.find(path);
  if (found == stored_.end() || found->second.deleted) return;
  found->second.deleted = true;
  found->second.digest.reset();
  if (copy_kept) {
    manifest_.deleted(path);
  } else {
    manifest_.made_way(path);
  }
}

void Publisher::note_refused(const std::string& path, const std::string& why) {
  if (std::exchange(noted_[path], why) != why) manifest_.refused(path, why);
}

void Publisher::note_waiting(const std::string& path, const std::string& why) {
  if (std::exchange(noted_[path], why) != why) manifest_.waiting(path, why);
}

Publisher::Sum Publisher::sum_of(const std::string& folder) const {
  Sum sum;
  for (const auto& [path, stored] : stored_) {
    if (stored.folder != folder || stored.entry.form == FileForm::kSymlink) continue;
    ++sum.files;
    sum.bytes += own_bytes(stored.entry);
  }
  return sum;
}

std::optional<std::string> contained_target(std::string_view path, std::string_view target,
                                            std::string_view folder_name,
                                            const std::string& folder) {
  if (target.empty() || target.find('\0') != std::string_view::npos) return std::nullopt;
  const fs::path here = fs::path(path).parent_path();
  if (target.front() != '/') {
    const std::string leads = (here / target).lexically_normal().string();
    if (leads == "outputs" || leads == "logs" || leads.starts_with("outputs/") ||
        leads.starts_with("logs/")) {
      return std::string(target);
    }
    return std::nullopt;
  }
  // An absolute one into the same folder leads to the same file of the copy.
  const fs::path inside =
      fs::path(target).lexically_normal().lexically_relative(fs::path(folder).lexically_normal());
  if (inside.empty() || *inside.begin() == "..") return std::nullopt;
  const fs::path leads = fs::path(folder_name) / inside;
  return leads.lexically_normal().lexically_relative(here).string();
}

}  // namespace muster::outputs
