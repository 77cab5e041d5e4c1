// `muster download`: files of a run directory to another place.  A copy grows beside its place
// under a name of its own, is checked against the run's manifest, and then gets its name.

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "base/files.h"
#include "base/json_text.h"
#include "base/text.h"
#include "collector/outputs/copy_bytes.h"
#include "collector/outputs/file_facts.h"
#include "collector/store/file_manifest.h"
#include "collector/store/safe_path.h"
#include "collector/store/stream_kind.h"
#include "launcher/cli/check_copy.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/download_watch.h"
#include "launcher/cli/find_run.h"
#include "launcher/cli/stored_links.h"
#include "launcher/cli/wanted_files.h"

namespace muster::cli {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

struct Request {
  FoundRun run;
  bool run_named = true;  // else it is the latest
  std::vector<std::string> paths;
  std::string destination = ".";
  bool force = false;
};

// What became of one file.
struct Copied {
  std::string path;
  std::string target;
  const char* state = "copied";  // "resumed": the rest of it; "there": already, the same bytes
  std::uint64_t size = 0;
  std::string xxh3 = {};  // of what was copied
};

// RUN may be left out: the first word is one when there is such a run.
Result<Request> read_request(const CommandLine& line) {
  if (line.words.empty()) {
    return fail(ErrorCode::kUsage, "muster download copies the files that are named, and none is",
                "`muster download latest outputs/model.pt`; `muster files` lists them");
  }
  std::vector<std::string> words = line.words;
  auto run = find_run(words.front(), line.runs_dir);
  const bool run_named = run.has_value();
  if (run) {
    words.erase(words.begin());
  } else if (auto latest = find_run("latest", line.runs_dir); latest && words.size() < 3) {
    // A name that is no run's may still be a run that was meant.
    const bool is_run_id = run.error().message.find("several") != std::string::npos;
    if (is_run_id) return Failure(std::move(run).error());
    run = std::move(latest);
  } else {
    return Failure(std::move(run).error());
  }
  if (words.empty()) {
    return fail(ErrorCode::kUsage, "which files of run " + run->run_id + "?",
                "`muster files " + run->run_id + "` lists them");
  }
  Request request{std::move(*run), run_named, {}};
  if (words.size() > 1) {
    request.destination = words.back();
    words.pop_back();
  }
  request.paths = std::move(words);
  request.force = line.has("force");
  return request;
}

// Every file of the run directory that is a user's to have, links of the output folders among them.
struct RunFiles {
  std::vector<std::string> all;
  std::set<std::string> links;
};

RunFiles all_files(const store::RunDirectory& run) {
  RunFiles files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(run.root(), error), end; !error && at != end;
       at.increment(error)) {
    const std::string path = at->path().lexically_relative(run.root()).string();
    if (at->is_directory(error) && !at->is_symlink(error) &&
        (path == ".muster" || path == "scratch" || path == ".node")) {
      at.disable_recursion_pending();
    } else if (at->is_symlink(error)) {
      if (!path.starts_with("outputs/") && !path.starts_with("logs/")) continue;
      files.all.push_back(path);
      files.links.insert(path);
    } else if (at->is_regular_file(error) && store::kind_of(path)) {
      files.all.push_back(path);
    }
  }
  std::sort(files.all.begin(), files.all.end());
  return files;
}

// As a user would type it.
std::string in_folder(const std::string& folder, const std::string& target) {
  return without_controls((fs::path(folder) / target).lexically_normal().string());
}

class Download {
 public:
  Download(const Request& request, store::SafeRoot source, store::SafeRoot target, CopyCheck check,
           DownloadWatch& watch)
      : request_(request),
        source_(std::move(source)),
        target_(std::move(target)),
        check_(std::move(check)),
        watch_(watch) {}

  Result<> copy(const WantedFile& wanted);
  const std::vector<Copied>& done() const { return done_; }

 private:
  Result<> copy_link(const WantedFile& wanted);
  Result<bool> is_there(const WantedFile& wanted, const Fd& source, std::uint64_t size) const;

  const Request& request_;
  store::SafeRoot source_;
  store::SafeRoot target_;
  CopyCheck check_;
  DownloadWatch& watch_;
  const outputs::KeepOn keep_on_ = [this] { return watch_.keep_on(); };
  const outputs::Told told_ = [this](std::uint64_t at) { watch_.at(at); };
  std::vector<Copied> done_;
};

// Whether the same bytes are at the target already; other ones are refused without --force.
Result<bool> Download::is_there(const WantedFile& wanted, const Fd& source,
                                std::uint64_t size) const {
  MUSTER_TRY_ASSIGN(const auto there, target_.look(wanted.target));
  if (!there) return false;
  if (S_ISREG(there->st_mode) && static_cast<std::uint64_t>(there->st_size) == size) {
    MUSTER_TRY_ASSIGN(const Fd old, target_.open_file(wanted.target, O_RDONLY));
    if (outputs::same_bytes(source, old, 0, size, keep_on_)) return true;
    MUSTER_TRY(watch_.keep_on());
  }
  if (request_.force && S_ISREG(there->st_mode)) return false;
  return fail(
      ErrorCode::kUsage,
      in_folder(target_.directory(), wanted.target) + " is there already, and is something else",
      S_ISREG(there->st_mode) ? "--force replaces it, or choose another DEST"
                              : "choose another DEST");
}

// As it is: it leads to the same name of the copy.
Result<> Download::copy_link(const WantedFile& wanted) {
  MUSTER_TRY_ASSIGN(const std::string text, link_text(source_, wanted.path));
  Copied copied{wanted.path, wanted.target};
  MUSTER_TRY_ASSIGN(const auto there, target_.look(wanted.target));
  if (there && S_ISLNK(there->st_mode)) {
    MUSTER_TRY_ASSIGN(const std::string old, link_text(target_, wanted.target));
    if (old == text) copied.state = "there";
  }
  if (there && std::string_view(copied.state) != "there") {
    if (!request_.force || !S_ISLNK(there->st_mode)) {
      return fail(ErrorCode::kUsage,
                  in_folder(target_.directory(), wanted.target) +
                      " is there already, and is something else",
                  "choose another DEST");
    }
    MUSTER_TRY(target_.remove(wanted.target));
  }
  if (std::string_view(copied.state) != "there") MUSTER_TRY(target_.make_link(text, wanted.target));
  done_.push_back(std::move(copied));
  watch_.end(0);
  return {};
}

Result<> Download::copy(const WantedFile& wanted) {
  watch_.begin(wanted.target);
  MUSTER_TRY(watch_.keep_on());
  if (wanted.is_link) return copy_link(wanted);
  MUSTER_TRY_ASSIGN(const Fd source, source_.open_file(wanted.path, O_RDONLY));
  struct stat info {};
  if (::fstat(source.get(), &info) != 0) {
    return Failure(system_error(ErrorCode::kData, "looking at " + wanted.path));
  }
  const outputs::FileFacts facts = outputs::facts_of(info);
  MUSTER_TRY_ASSIGN(const bool there, is_there(wanted, source, facts.size));
  Copied copied_file{wanted.path, wanted.target};
  copied_file.size = facts.size;
  if (there) {
    copied_file.state = "there";
    done_.push_back(std::move(copied_file));
    watch_.end(facts.size);
    return {};
  }
  const std::size_t slash = wanted.target.rfind('/') + 1;  // npos + 1 is 0
  const std::string part =
      wanted.target.substr(0, slash) + "." + wanted.target.substr(slash) + ".muster-part";
  MUSTER_TRY_ASSIGN(Fd target, target_.open_file(part, O_RDWR | O_CREAT, 0600));
  if (::flock(target.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return fail(ErrorCode::kUsage,
                "another download writes " + target_.directory() + "/" +
                    without_controls(wanted.target) + " now",
                "wait for its end, or choose another DEST");
  }
  struct stat begun {};
  std::uint64_t from = 0;
  if (::fstat(target.get(), &begun) == 0 && begun.st_size > 0) {
    // What is there of an earlier attempt is used as far as it is true: behind it may be zeros.
    from = outputs::alike_until(
        source, target, std::min(static_cast<std::uint64_t>(begun.st_size), facts.size), keep_on_);
    MUSTER_TRY(watch_.keep_on());
    if (::ftruncate(target.get(), static_cast<off_t>(from)) != 0) from = 0;
  }
  store::Digest digest;
  std::uint64_t size = 0;
  if (from == 0) {
    auto copied = outputs::copy_all(source, target, facts.size, digest, keep_on_, told_);
    if (!copied) return Failure(std::move(copied).error().with_context("copying " + wanted.path));
    size = *copied;
  } else {
    copied_file.state = "resumed";
    MUSTER_TRY(outputs::hash_all(target, from, digest, keep_on_, told_));
    outputs::Extended more =
        outputs::copy_more(source, target, from, facts.size, digest, keep_on_, told_);
    if (!more.result) {
      return Failure(std::move(more.result).error().with_context("copying " + wanted.path));
    }
    size = more.size;
  }
  if (size != facts.size) return fail(ErrorCode::kData, wanted.path + " ended sooner than it said");
  MUSTER_TRY(check_.check(wanted.path, size, digest.hex()));
  const timespec times[2] = {{0, UTIME_OMIT}, info.st_mtim};
  ::fchmod(target.get(), info.st_mode & 0777);
  ::futimens(target.get(), times);
  MUSTER_TRY_ASSIGN(const auto from_place, target_.place(part, false));
  MUSTER_TRY_ASSIGN(const auto to_place, target_.place(wanted.target, false));
  const unsigned flags = request_.force ? 0 : RENAME_NOREPLACE;
  if (::renameat2(from_place.directory.get(), from_place.name.c_str(), to_place.directory.get(),
                  to_place.name.c_str(), flags) != 0) {
    return Failure(system_error(ErrorCode::kRunDirectory, "renaming to " + wanted.target));
  }
  copied_file.xxh3 = digest.hex();
  done_.push_back(std::move(copied_file));
  watch_.end(size);
  return {};
}

Result<> to_stdout(const Request& request, const std::vector<WantedFile>& wanted) {
  if (wanted.size() != 1) {
    return fail(ErrorCode::kUsage,
                std::to_string(wanted.size()) + " files are meant, and - takes one",
                "name one file, or a folder as DEST");
  }
  MUSTER_TRY_ASSIGN(const store::SafeRoot source,
                    store::SafeRoot::open(request.run.directory.root().string()));
  MUSTER_TRY_ASSIGN(const Fd file, source.open_file(wanted.front().path, O_RDONLY));
  MUSTER_TRY_ASSIGN(const CopyCheck check, CopyCheck::create(request.run));
  store::Digest digest;
  std::uint64_t size = 0;
  std::vector<char> bytes(1 << 18);
  while (true) {
    const ssize_t got = ::read(file.get(), bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failure(system_error(ErrorCode::kData, "reading " + wanted.front().path));
    if (got == 0) return check.check(wanted.front().path, size, digest.hex());
    digest.update({bytes.data(), static_cast<std::size_t>(got)});
    size += static_cast<std::uint64_t>(got);
    for (ssize_t put = 0; put < got;) {
      const ssize_t now =
          ::write(STDOUT_FILENO, bytes.data() + put, static_cast<std::size_t>(got - put));
      if (now < 0 && errno == EINTR) continue;
      if (now < 0 && errno == EPIPE) return {};  // the reader has seen enough
      if (now < 0) return Failure(system_error(ErrorCode::kInternal, "writing to stdout"));
      put += now;
    }
  }
}

// Why a file that was seen is not stored; "" when nothing is known of it.
std::string why_not_stored(const Request& request, const std::string& word) {
  const auto text = read_regular_file(request.run.directory.files_jsonl());
  if (!text) return "";
  const auto manifest = store::parse_manifest(*text);
  for (const std::string& path : {word, "outputs/" + word}) {
    const auto found = manifest.find(path);
    if (found != manifest.end() && !found->second.refused.empty()) return found->second.refused;
  }
  return "";
}

// A link that is asked for by its name: what it leads to, under its name.
Result<std::vector<WantedFile>> behind_link(const Request& request, const WantedFile& link,
                                            const std::vector<std::string>& files) {
  MUSTER_TRY_ASSIGN(const store::SafeRoot run,
                    store::SafeRoot::open(request.run.directory.root().string()));
  MUSTER_TRY_ASSIGN(const std::string leads_to, follow_link(run, link.path));
  std::vector<WantedFile> wanted;
  for (const std::string& file : files) {
    if (file != leads_to && !file.starts_with(leads_to + "/")) continue;
    wanted.push_back({file, link.target + file.substr(leads_to.size())});
  }
  return wanted;
}

Result<std::vector<WantedFile>> everything_wanted(const Request& request) {
  const auto [files, links] = all_files(request.run.directory);
  std::vector<WantedFile> wanted;
  std::map<std::string, std::string> targets;
  for (const std::string& word : request.paths) {
    std::vector<WantedFile> found = find_wanted(word, files);
    if (found.size() == 1 && !is_pattern(word) && links.contains(found.front().path) &&
        found.front().path.ends_with(word)) {
      MUSTER_TRY_ASSIGN(found, behind_link(request, found.front(), files));
    }
    for (WantedFile& each : found) each.is_link = links.contains(each.path);
    if (found.empty()) {
      if (const std::string why = why_not_stored(request, word); !why.empty()) {
        return fail(ErrorCode::kData, "`" + without_controls(word) + "` of run " +
                                          request.run.run_id + " is not stored: " + why);
      }
      const std::string shown = "`" + without_controls(word) + "`";
      const std::string what = request.run_named
                                   ? "run " + request.run.run_id + " has no file " + shown
                                   : shown + " is no run, and the latest one, " +
                                         request.run.run_id + ", has no file of that name";
      return fail(ErrorCode::kUsage, what, "`muster files " + request.run.run_id + "` lists them");
    }
    for (WantedFile& each : found) {
      const auto [at, is_new] = targets.try_emplace(each.target, each.path);
      if (!is_new && at->second != each.path) {
        return fail(ErrorCode::kUsage,
                    at->second + " and " + each.path + " would both become " + each.target,
                    "download them to different folders");
      }
      if (is_new) wanted.push_back(std::move(each));
    }
  }
  return wanted;
}

// The folder that everything goes to; the name of a single file, if DEST says it, goes to it.
Result<std::string> destination_folder(const Request& request, std::vector<WantedFile>& wanted) {
  const std::string& destination = request.destination;
  std::error_code error;
  if (fs::is_directory(destination, error)) return destination;
  const bool one_file = wanted.size() == 1 && request.paths.size() == 1 &&
                        !is_pattern(request.paths.front()) && !destination.ends_with('/');
  if (one_file && wanted.front().target.find('/') == std::string::npos) {
    const fs::path path(destination);
    const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
    if (!fs::is_directory(parent, error)) {
      return fail(ErrorCode::kRunDirectory,
                  destination + " cannot be written: there is no folder " + parent.string(),
                  "make it, or write " + destination + "/ for a folder that is made");
    }
    wanted.front().target = path.filename().string();
    return parent.string();
  }
  fs::create_directories(destination, error);
  if (error) {
    return Failure(
        system_error(ErrorCode::kRunDirectory, "creating " + destination, error.value()));
  }
  return destination;
}

std::uint64_t size_of_all(const store::SafeRoot& source, const std::vector<WantedFile>& wanted) {
  std::uint64_t bytes = 0;
  for (const WantedFile& each : wanted) {
    const auto facts = source.look(each.path);
    if (facts && *facts) bytes += static_cast<std::uint64_t>((*facts)->st_size);
  }
  return bytes;
}

std::string json_of(const Request& request, const std::string& folder,
                    const std::vector<Copied>& done, std::size_t wanted,
                    const std::optional<int>& signal) {
  Json json = {{"run_id", request.run.run_id},
               {"destination", folder},
               {"complete", done.size() == wanted},
               {"interrupted", signal.has_value()},
               {"files", Json::array()}};
  for (const Copied& each : done) {
    json["files"].push_back({{"path", each.path},
                             {"target", each.target},
                             {"state", each.state},
                             {"size", each.size},
                             {"xxh3", each.xxh3.empty() ? Json(nullptr) : Json(each.xxh3)}});
  }
  return without_raw_controls(json.dump(2, ' ', false, Json::error_handler_t::replace)) + "\n";
}

void say(const Request& request, const std::string& folder, const std::vector<Copied>& done) {
  std::int64_t there = 0;
  std::int64_t resumed = 0;
  std::uint64_t bytes = 0;
  for (const Copied& each : done) {
    const std::string_view state = each.state;
    there += state == "there" ? 1 : 0;
    resumed += state == "resumed" ? 1 : 0;
    if (state != "there") bytes += each.size;
  }
  std::string more;
  if (resumed > 0) more += ", " + std::to_string(resumed) + " of them from where it was cut";
  if (there > 0) more += ", " + std::to_string(there) + " were there already";
  std::fprintf(stderr, "muster: %s, %s from run %s in %s%s\n",
               counted(static_cast<std::int64_t>(done.size()) - there, "file").c_str(),
               format_bytes(bytes).c_str(), request.run.run_id.c_str(), folder.c_str(),
               more.c_str());
}

// What concerns one file does not keep the others from being copied; a DEST that takes no more
// does.
Problems copy_all_of(Download& work, const std::vector<WantedFile>& wanted,
                     const DownloadWatch& watch) {
  constexpr std::size_t kShown = 20;
  Problems problems;
  std::size_t failed = 0;
  for (const WantedFile& each : wanted) {
    auto copied = work.copy(each);
    if (copied) continue;
    if (watch.signal()) return {};
    const bool is_last = copied.error().code == ErrorCode::kRunDirectory;
    if (++failed <= kShown) problems.push_back(std::move(copied).error());
    if (is_last) break;
  }
  if (failed > kShown) {
    problems.back().hint =
        counted(static_cast<std::int64_t>(failed - kShown), "more file") + " could not be copied";
  }
  return problems;
}

// `problems`: of files that could not be copied beside those that were.
Result<int> download(const CommandLine& line, Problems& problems) {
  MUSTER_TRY_ASSIGN(const Request request, read_request(line));
  MUSTER_TRY_ASSIGN(std::vector<WantedFile> wanted, everything_wanted(request));
  if (request.destination == "-" && line.format == Format::kJson) {
    return fail(ErrorCode::kUsage, "--json and - as DEST both want stdout",
                "name a file or a folder as DEST");
  }
  if (request.destination == "-") {
    MUSTER_TRY(to_stdout(request, wanted));
    return 0;
  }
  MUSTER_TRY_ASSIGN(const std::string folder, destination_folder(request, wanted));
  MUSTER_TRY_ASSIGN(store::SafeRoot source,
                    store::SafeRoot::open(request.run.directory.root().string()));
  MUSTER_TRY_ASSIGN(store::SafeRoot target, store::SafeRoot::open(folder));
  MUSTER_TRY_ASSIGN(CopyCheck check, CopyCheck::create(request.run));
  MUSTER_TRY_ASSIGN(DownloadWatch watch,
                    DownloadWatch::create(wanted.size(), size_of_all(source, wanted)));
  Download work(request, std::move(source), std::move(target), std::move(check), watch);
  problems = copy_all_of(work, wanted, watch);
  watch.clear();
  if (!problems.empty() && wanted.size() == 1) return 0;
  if (line.format == Format::kJson) {
    auto printed = print(json_of(request, folder, work.done(), wanted.size(), watch.signal()));
    if (!printed) return Failure(printed.error().front());
  } else {
    say(request, wanted.size() == 1 ? in_folder(folder, wanted.front().target) : folder,
        work.done());
  }
  if (!watch.signal()) return 0;
  std::fprintf(stderr,
               "muster: interrupted: %zu of %zu files are there; the same command goes on where "
               "this one was\n",
               work.done().size(), wanted.size());
  return 128 + *watch.signal();
}

}  // namespace

CommandResult download_command(const CommandLine& line) {
  Problems problems;
  auto code = download(line, problems);
  if (!code) return tl::unexpected<Problems>(Problems{std::move(code).error()});
  if (!problems.empty()) return tl::unexpected<Problems>(std::move(problems));
  return *code;
}

}  // namespace muster::cli
